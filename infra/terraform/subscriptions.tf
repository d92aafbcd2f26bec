# Our own push subscriptions: those that Eventarc makes take no dead letter, backoff or ack deadline.

locals {
  pubsub_agent = "serviceAccount:service-${var.project.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_subscription" "push" {
  for_each = local.push

  name                       = each.key
  topic                      = google_pubsub_topic.topics[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_s
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = "${local.urls[each.value.deployment]}${each.value.path}"

    oidc_token {
      service_account_email = google_service_account.invokers["pubsub"].email
      audience              = local.urls[each.value.deployment]
    }
  }

  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters[each.key].id
    max_delivery_attempts = 20
  }

  expiration_policy {
    ttl = "" # never: a quiet month must not delete it
  }

  lifecycle {
    precondition {
      condition     = each.value.ack_deadline_s > local.deployments[each.value.deployment].timeout_s
      error_message = "The ack deadline of ${each.key} must be above its function's timeout, or every slow message is delivered twice."
    }
  }
}

resource "google_pubsub_topic" "dead_letters" {
  for_each = local.push

  name = "${each.key}-dead-letters"

  depends_on = [google_project_service.apis]
}

# Without a subscription a dead letter would be gone at once. It is brought to a table, where staff read and replay it; until
# the consumer has it, for a month, it stays here.
resource "google_pubsub_subscription" "dead_letters" {
  for_each = local.push

  name                       = "${each.key}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters[each.key].id
  message_retention_duration = "2678400s"
  ack_deadline_seconds       = local.dead_letters.ack_deadline_s

  push_config {
    push_endpoint = "${local.urls[local.dead_letters.deployment]}${local.dead_letters.path}?subscription=${each.key}&topic=${each.value.topic}"

    oidc_token {
      service_account_email = google_service_account.invokers["pubsub"].email
      audience              = local.urls[local.dead_letters.deployment]
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves a message from the one to the other.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  for_each = local.push

  topic  = google_pubsub_topic.dead_letters[each.key].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = local.push

  subscription = google_pubsub_subscription.push[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
