import base64
import json

import pytest

from shared.settings import (
    DatabaseSettings,
    GoogleSettings,
    PayPalSettings,
    PlatformSettings,
    SendGridSettings,
    SettingsError,
    TokenKeys,
    TurnstileSettings,
    UploadSettings,
    WebhookSettings,
)

PLATFORM = {
    "VITRINE_DEPLOYMENT": "checkout",
    "VITRINE_ENVIRONMENT": "production",
    "GOOGLE_CLOUD_PROJECT": "vitrine-shop",
    "FUNCTION_TIMEOUT_S": "60",
    "PUBLIC_URL": "https://Shop.example/",
}
PAYPAL = {
    "VITRINE_ENVIRONMENT": "production",
    "PAYPAL_BASE_URL": "https://api-m.paypal.com",
    "PAYPAL_CLIENT_ID": "id",
    "PAYPAL_CLIENT_SECRET": "secret",
}
WEBHOOKS = {"VITRINE_ENVIRONMENT": "production", "PAYPAL_WEBHOOK_ID": "1AB23456CD789012E"}
SENDGRID = {
    "VITRINE_ENVIRONMENT": "production",
    "SENDGRID_BASE_URL": "https://api.sendgrid.com",
    "SENDGRID_API_KEY": "SG.key",
    "MAIL_FROM": "Vitrine <orders@vitrine.example>",
}
GOOGLE = {
    "VITRINE_ENVIRONMENT": "production",
    "GOOGLE_CLOUD_PROJECT": "vitrine-shop",
    "TASKS_LOCATION": "europe-west1",
    "TASKS_INVOKER": "tasks@vitrine-shop.iam.gserviceaccount.com",
    "QUEUE_URL_LABEL_PRINTING": "https://label-jobs.example/",
}
KEY = base64.b64encode(b"k" * 32).decode()


def problems(group: type, env: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        group.from_env(env)  # type: ignore[attr-defined]
    return list(caught.value.problems)


def test_every_missing_name_is_told_at_once() -> None:
    assert problems(PlatformSettings, {"VITRINE_ENVIRONMENT": "moon", "FUNCTION_TIMEOUT_S": "0"}) == [
        "VITRINE_DEPLOYMENT is missing",
        "VITRINE_ENVIRONMENT must be one of local, production",
        "GOOGLE_CLOUD_PROJECT is missing",
        "FUNCTION_TIMEOUT_S must be at least 1",
    ]
    assert problems(PayPalSettings, {}) == [
        "PAYPAL_BASE_URL is missing",
        "PAYPAL_CLIENT_ID is missing",
        "PAYPAL_CLIENT_SECRET is missing",
    ]


def test_a_platform_knows_its_public_origin() -> None:
    settings = PlatformSettings.from_env(PLATFORM)

    assert (settings.public_url, settings.public_origin) == ("https://Shop.example", "https://shop.example")
    assert settings.function_timeout_s == 60
    local = {**PLATFORM, "VITRINE_ENVIRONMENT": "local", "PUBLIC_URL": "http://127.0.0.1:8080"}
    assert PlatformSettings.from_env(local).public_origin == "http://127.0.0.1:8080"


def test_production_is_https() -> None:
    assert problems(PlatformSettings, {**PLATFORM, "PUBLIC_URL": "http://shop.example"}) == [
        "PUBLIC_URL must be https in production"
    ]


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, ["DATABASE_ACCESS is missing", "POOL_SIZE is missing"]),
        ({"DATABASE_ACCESS": "carrier pigeon", "POOL_SIZE": "x"}, [
            "DATABASE_ACCESS must be one of url, connector, private", "POOL_SIZE is not a whole number"]),
        ({"DATABASE_ACCESS": "url", "POOL_SIZE": "2", "VITRINE_ENVIRONMENT": "local"}, ["DATABASE_URL is missing"]),
        ({"DATABASE_ACCESS": "url", "POOL_SIZE": "2", "VITRINE_ENVIRONMENT": "local", "DATABASE_URL": "mysql://x/y"}, [
            "DATABASE_URL is not postgresql://login:password@host:port/database"]),
        ({"DATABASE_ACCESS": "url", "POOL_SIZE": "2", "DATABASE_URL": "postgresql://a:b@c:1/d"}, [
            "DATABASE_ACCESS must be connector or private in production: a URL carries a password"]),
        ({"DATABASE_ACCESS": "connector", "POOL_SIZE": "2", "DATABASE_INSTANCE": "shop"}, [
            "DATABASE_INSTANCE is not project:region:name", "DATABASE_NAME is missing", "DATABASE_USER is missing"]),
        ({"DATABASE_ACCESS": "private", "POOL_SIZE": "2"}, [
            "DATABASE_HOST is missing", "DATABASE_CA is missing", "DATABASE_NAME is missing",
            "DATABASE_USER is missing"]),
    ],
)  # fmt: skip
def test_each_way_to_the_database_has_its_own_names(env: dict[str, str], told: list[str]) -> None:
    assert problems(DatabaseSettings, env) == told


def test_the_ways_to_the_database() -> None:
    by_url = DatabaseSettings.from_env(
        {
            "VITRINE_ENVIRONMENT": "local",
            "DATABASE_ACCESS": "url",
            "POOL_SIZE": "2",
            "DATABASE_URL": "postgresql://login:password@127.0.0.1:5432/vitrine",
        }
    )
    connector = DatabaseSettings.from_env(
        {
            "DATABASE_ACCESS": "connector",
            "POOL_SIZE": "3",
            "DATABASE_INSTANCE": "vitrine-shop:europe-west1:main",
            "DATABASE_NAME": "vitrine",
            "DATABASE_USER": "checkout@vitrine-shop.iam",
        }
    )

    assert (by_url.access, by_url.pool_size, by_url.url) == (
        "url",
        2,
        "postgresql://login:password@127.0.0.1:5432/vitrine",
    )
    assert (connector.access, connector.pool_size, connector.instance) == (
        "connector",
        3,
        "vitrine-shop:europe-west1:main",
    )
    assert "password" not in repr(by_url)


@pytest.mark.parametrize(
    "url", ["https://api-m.paypal.com.evil.example", "http://api-m.paypal.com", "http://127.0.0.1:9"]
)
def test_production_talks_to_paypal_and_nobody_else(url: str) -> None:
    (told,) = problems(PayPalSettings, {**PAYPAL, "PAYPAL_BASE_URL": url})

    assert told.startswith("PAYPAL_BASE_URL must be ")


def test_a_forgotten_environment_is_production() -> None:
    env = {**PAYPAL, "PAYPAL_BASE_URL": "http://127.0.0.1:9"}
    del env["VITRINE_ENVIRONMENT"]

    assert problems(PayPalSettings, env) == ["PAYPAL_BASE_URL must be https in production"]


def test_a_simulator_is_for_local_use() -> None:
    env = {**PAYPAL, "VITRINE_ENVIRONMENT": "local", "PAYPAL_BASE_URL": "http://127.0.0.1:9/"}

    assert PayPalSettings.from_env(env).base_url == "http://127.0.0.1:9"


def test_a_secret_is_not_in_the_repr() -> None:
    assert "secret" not in repr(PayPalSettings.from_env(PAYPAL))
    assert "SG.key" not in repr(SendGridSettings.from_env(SENDGRID))
    assert "kkkk" not in repr(TokenKeys.from_env({"TOKEN_KEYS": json.dumps({"current": "a", "keys": {"a": KEY}})}))


def test_webhooks_take_certificates_from_paypal_only() -> None:
    assert WebhookSettings.from_env(WEBHOOKS).cert_prefixes == (
        "https://api.paypal.com/v1/notifications/certs/",
        "https://api.sandbox.paypal.com/v1/notifications/certs/",
    )
    assert problems(
        WebhookSettings,
        {**WEBHOOKS, "PAYPAL_CERT_PREFIXES": "https://api.paypal.com.evil.example/", "PAYPAL_CERT_ROOTS": "/tmp/r.pem"},
    ) == [
        "PAYPAL_CERT_PREFIXES must be among https://api.paypal.com/v1/notifications/certs/, "
        "https://api.sandbox.paypal.com/v1/notifications/certs/ in production",
        "PAYPAL_CERT_ROOTS must not be set in production",
    ]
    local = {
        **WEBHOOKS,
        "VITRINE_ENVIRONMENT": "local",
        "PAYPAL_CERT_PREFIXES": "http://127.0.0.1:9/v1/notifications/certs/",
        "PAYPAL_CERT_ROOTS": "roots.pem",
    }
    assert WebhookSettings.from_env(local).cert_roots == "roots.pem"


@pytest.mark.parametrize("webhook_id", ["WEBHOOK_ID", "webhook_id"])
def test_the_id_that_paypals_simulator_signs_for_anybody_is_refused(webhook_id: str) -> None:
    for environment in ("local", "production"):
        env = {**WEBHOOKS, "VITRINE_ENVIRONMENT": environment, "PAYPAL_WEBHOOK_ID": webhook_id}
        assert problems(WebhookSettings, env) == [
            "PAYPAL_WEBHOOK_ID is the id that PayPal's simulator signs for anybody"
        ]


def test_an_empty_webhook_id_is_missing() -> None:
    assert problems(WebhookSettings, {**WEBHOOKS, "PAYPAL_WEBHOOK_ID": " "}) == ["PAYPAL_WEBHOOK_ID is missing"]


def test_sendgrid_knows_the_sender() -> None:
    assert SendGridSettings.from_env(SENDGRID).sender == ("Vitrine", "orders@vitrine.example")
    assert problems(
        SendGridSettings, {**SENDGRID, "MAIL_FROM": "nobody", "SENDGRID_BASE_URL": "https://x.example"}
    ) == [
        "MAIL_FROM is not an address",
        "SENDGRID_BASE_URL must be one of https://api.sendgrid.com, https://api.eu.sendgrid.com in production",
    ]


def test_queues_are_named_as_the_table_names_them() -> None:
    settings = GoogleSettings.from_env(GOOGLE)

    assert dict(settings.queue_urls) == {"label-printing": "https://label-jobs.example"}
    assert settings.topic_path("orders") == "projects/vitrine-shop/topics/orders"
    assert settings.queue_path("payments") == "projects/vitrine-shop/locations/europe-west1/queues/payments"


def test_production_knows_no_emulator() -> None:
    env = {
        **GOOGLE,
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:2",
        "STORAGE_KEY_FILE": "/key.json",
    }

    assert problems(GoogleSettings, env) == [
        "PUBSUB_EMULATOR_HOST must not be set in production",
        "STORAGE_EMULATOR_HOST must not be set in production",
        "STORAGE_KEY_FILE must not be set in production",
    ]
    assert problems(UploadSettings, {}) == ["UPLOADS_BUCKET is missing"]


def test_a_key_ring_is_read() -> None:
    ring = TokenKeys.from_env({"TOKEN_KEYS": json.dumps({"current": "b", "keys": {"a": KEY, "b": KEY}})})

    assert (ring.current, dict(ring.keys)) == ("b", {"a": b"k" * 32, "b": b"k" * 32})


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "{}",
        json.dumps({"current": "a", "keys": {}}),
        json.dumps({"current": "a", "keys": {"b": KEY}}),
        json.dumps({"current": "a", "keys": {"a": "short"}}),
        json.dumps({"current": "a.b", "keys": {"a.b": KEY}}),
        json.dumps({"current": "a", "keys": {"a": KEY[:-4]}}),
        json.dumps({"current": "a", "keys": {"a": 7}}),
    ],
)
def test_a_bad_key_ring_is_told_without_its_keys(text: str) -> None:
    assert problems(TokenKeys, {"TOKEN_KEYS": text}) == [
        "TOKEN_KEYS is not a ring of base64 keys of 32 bytes with a current one"
    ]


TURNSTILE = {
    "VITRINE_ENVIRONMENT": "production",
    "PUBLIC_URL": "https://Shop.example/",
    "TURNSTILE_SECRET": "0x4AAAAAAAbcdefghijklmnopqrstuvwxyz",
}


def test_bots_are_checked_by_cloudflare_for_the_pages_of_the_shop() -> None:
    settings = TurnstileSettings.from_env(TURNSTILE)

    assert (settings.base_url, settings.hostnames) == ("https://challenges.cloudflare.com", ("shop.example",))
    assert not settings.is_published
    assert "0x4AAA" not in repr(settings)
    more = {**TURNSTILE, "TURNSTILE_HOSTNAMES": "shop.example, WWW.shop.example"}
    assert TurnstileSettings.from_env(more).hostnames == ("shop.example", "www.shop.example")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"TURNSTILE_SECRET": " "}, ["TURNSTILE_SECRET is missing"]),
        *(
            ({"TURNSTILE_SECRET": secret}, ["TURNSTILE_SECRET is one of Cloudflare's published test secrets"])
            for secret in (
                "1x0000000000000000000000000000000AA",
                "2x0000000000000000000000000000000AA",
                "3x0000000000000000000000000000000AA",
                "1x0000000000000000000000000000000AAA",
            )
        ),
        (
            {"TURNSTILE_BASE_URL": "https://challenges.cloudflare.com.evil.example"},
            ["TURNSTILE_BASE_URL must be one of https://challenges.cloudflare.com in production"],
        ),
        ({"TURNSTILE_BASE_URL": "http://127.0.0.1:9"}, ["TURNSTILE_BASE_URL must be https in production"]),
        ({"PUBLIC_URL": ""}, ["TURNSTILE_HOSTNAMES is missing, and so is PUBLIC_URL, which it defaults to"]),
    ],
)
def test_production_lets_no_bot_in_by_its_settings(changed: dict[str, str], told: list[str]) -> None:
    assert problems(TurnstileSettings, {**TURNSTILE, **changed}) == told


def test_a_laptop_may_do_without_a_bot_check_or_take_a_published_secret() -> None:
    local = {"VITRINE_ENVIRONMENT": "local", "PUBLIC_URL": "http://127.0.0.1:8080", "TURNSTILE_SECRET": ""}
    published = {**local, "TURNSTILE_SECRET": "1x0000000000000000000000000000000AA"}

    assert TurnstileSettings.from_env(local).secret is None
    assert TurnstileSettings.from_env(published).is_published
