# What the table says is what is planned: nothing here calls Google.

mock_provider "google" {
  mock_resource "google_sql_database_instance" {
    defaults = {
      connection_name    = "shop-1:europe-west3:vitrine"
      private_ip_address = "10.20.0.3"
      server_ca_cert     = [{ cert = "-----BEGIN CERTIFICATE-----", common_name = "", create_time = "", expiration_time = "", sha1_fingerprint = "" }]
    }
  }
}

override_resource {
  target = google_service_account.deployments["search"]
  values = {
    email  = "vitrine-search@shop-1.iam.gserviceaccount.com"
    member = "serviceAccount:vitrine-search@shop-1.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.deployments["webhooks"]
  values = {
    email  = "vitrine-webhooks@shop-1.iam.gserviceaccount.com"
    member = "serviceAccount:vitrine-webhooks@shop-1.iam.gserviceaccount.com"
  }
}

variables {
  domain  = "shop.example.com"
  project = { id = "shop-1", number = 123456789012 }
  archives = {
    for name in ["search", "checkout", "payment-jobs", "webhooks", "inventory", "media-jobs", "desk", "notify"] :
    name => { path = "build/${name}.zip", sha256 = sha256(name) }
  }
}

run "search_and_webhooks_by_default" {
  assert {
    condition     = toset(keys(google_cloudfunctions2_function.deployments)) == toset(["search", "webhooks"])
    error_message = "Search and webhooks are deployed, and nothing else."
  }

  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.deployments : function.service_config[0].ingress_settings == "ALLOW_INTERNAL_AND_GCLB"])
    error_message = "What the public calls is reached through the load balancer only."
  }

  assert {
    condition     = toset(keys(google_cloud_run_service_iam_member.everyone)) == toset(["search", "webhooks"]) && length(google_cloud_run_service_iam_member.invokers) == 0
    error_message = "Everyone may invoke the two, and no caller is named."
  }

  assert {
    condition = alltrue([
      for name, function in google_cloudfunctions2_function.deployments :
      function.service_config[0].environment_variables.THREADS == tostring(function.service_config[0].max_instance_request_concurrency)
    ])
    error_message = "THREADS equals concurrency."
  }

  assert {
    condition     = google_cloudfunctions2_function.deployments["webhooks"].service_config[0].environment_variables.QUEUE_URL_PAYMENTS == "https://payment-jobs-123456789012.europe-west3.run.app"
    error_message = "A task is addressed to the queue's worker, deployed or not."
  }

  assert {
    condition     = google_cloudfunctions2_function.deployments["search"].service_config[0].environment_variables.DATABASE_ACCESS == "connector" && google_cloudfunctions2_function.deployments["search"].service_config[0].environment_variables.DATABASE_INSTANCE == "shop-1:europe-west3:vitrine"
    error_message = "The connector is the default way to the database."
  }

  assert {
    condition     = google_cloudfunctions2_function.deployments["search"].service_config[0].environment_variables.DATABASE_USER == "vitrine-search@shop-1.iam"
    error_message = "Cloud SQL knows a service account without the end of its e-mail."
  }

  assert {
    condition = (
      { for name, service in google_compute_backend_service.functions : name => service.enable_cdn } == { search = true, webhooks = false }
      && google_compute_backend_service.functions["search"].cdn_policy[0].cache_mode == "USE_ORIGIN_HEADERS"
      && google_compute_backend_service.functions["webhooks"].compression_mode == "DISABLED"
    )
    error_message = "What is the same for everybody is kept by Cloud CDN as its own headers say, and nothing else is."
  }

  assert {
    condition     = google_cloudfunctions2_function.deployments["search"].service_config[0].environment_variables.PUBLIC_URL == "https://shop.example.com"
    error_message = "PUBLIC_URL is the domain's."
  }

  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.deployments["webhooks"].service_config[0].environment_variables), "PAYPAL_CERT_ROOTS")
    error_message = "A setting without a value is not set."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret.secrets)) == toset(["PAYPAL_WEBHOOK_ID", "SENDGRID_WEBHOOK_KEY"])
    error_message = "A secret exists for who reads it, and no other."
  }

  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.deployments : alltrue([for secret in function.service_config[0].secret_environment_variables : secret.version == "1"])])
    error_message = "Secret versions are pinned."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.readers)) == toset(["webhooks PAYPAL_WEBHOOK_ID", "webhooks SENDGRID_WEBHOOK_KEY"])
    error_message = "Each deployment reads its own secrets only."
  }

  assert {
    condition     = toset(keys(google_cloud_tasks_queue_iam_member.enqueuers)) == toset(["webhooks payments"]) && length(google_pubsub_topic.topics) == 0
    error_message = "Webhooks may enqueue payments; search may publish and enqueue nothing."
  }

  assert {
    condition     = google_storage_bucket_object.archives["search"].name == "search/${sha256("search")}.zip"
    error_message = "An archive is named by its content."
  }

  assert {
    condition     = length(google_compute_network.vitrine) == 0 && one(google_sql_database_instance.vitrine.settings[0].ip_configuration).ipv4_enabled
    error_message = "The connector needs no network of ours."
  }

  assert {
    condition = toset(flatten([for rule in one(google_compute_url_map.public.path_matcher).path_rule : rule.paths])) == toset(concat(["/media/*"], flatten([
      for row in yamldecode(file("../../functions/deployments.yaml")).deployments :
      [for route in row.triggers.routes : [route, "${route}/*"]] if contains(["search", "webhooks"], row.name)
    ])))
    error_message = "The URL map says what the table's routes say."
  }

  assert {
    condition = (
      google_cloudfunctions2_function.deployments["search"].service_config[0].environment_variables.MEDIA_URL == "https://shop.example.com/media"
      && google_compute_backend_bucket.media.bucket_name == "shop-1-vitrine-media" && google_compute_backend_bucket.media.enable_cdn
    )
    error_message = "Pictures are served below the shop's own address, from the edge."
  }

  assert {
    condition = (
      google_storage_bucket.uploads.public_access_prevention == "enforced"
      && google_storage_bucket_iam_member.everyone.bucket == "shop-1-vitrine-media" && google_storage_bucket_iam_member.everyone.role == "roles/storage.legacyObjectReader"
    )
    error_message = "What is sent is never public; of what is public nobody can list the names."
  }

  assert {
    condition     = length(google_storage_bucket_iam_member.deployments) == 0 && length(google_service_account_iam_member.signers) == 0
    error_message = "Who has nothing to do with buckets may do nothing with them."
  }

  assert {
    condition     = output.database_grants == "grant vitrine_search to \"vitrine-search@shop-1.iam\";\ngrant vitrine_webhooks to \"vitrine-webhooks@shop-1.iam\";"
    error_message = "Each login becomes a member of its role."
  }

  assert {
    condition     = alltrue([for name, policy in google_monitoring_alert_policy.alerts : strcontains(one(policy.documentation).content, "docs/runbooks.md#${name}")])
    error_message = "Every alert names its runbook."
  }
}

run "a_network_of_its_own_where_the_database_is_private" {
  variables {
    database_access = "private"
  }

  assert {
    condition     = !one(google_sql_database_instance.vitrine.settings[0].ip_configuration).ipv4_enabled
    error_message = "A private database has no public address."
  }

  assert {
    condition     = google_cloudfunctions2_function.deployments["search"].service_config[0].environment_variables.DATABASE_HOST == "10.20.0.3" && startswith(google_cloudfunctions2_function.deployments["search"].service_config[0].environment_variables.DATABASE_CA, "-----BEGIN")
    error_message = "Functions are told the address and its authority."
  }

  assert {
    condition     = google_cloudfunctions2_function.deployments["search"].service_config[0].vpc_connector_egress_settings == "PRIVATE_RANGES_ONLY"
    error_message = "Only private addresses go through the network."
  }
}

run "the_whole_table" {
  variables {
    deployments = ["search", "checkout", "payment-jobs", "webhooks", "inventory", "media-jobs", "desk", "notify"]
    settings = {
      MAIL_FROM             = "Vitrine <orders@shop.example.com>"
      PAYPAL_BASE_URL       = "https://api-m.paypal.com"
      PAYPAL_INVOICE_PREFIX = "SHOP-"
      SENDGRID_BASE_URL     = "https://api.sendgrid.com"
    }
  }

  assert {
    condition = toset([
      for name, function in google_cloudfunctions2_function.deployments :
      name if lookup(function.service_config[0].environment_variables, "PAYPAL_INVOICE_PREFIX", "") == "SHOP-"
    ]) == toset(["checkout", "payment-jobs"])
    error_message = "A setting reaches the deployments whose rows name it, and no other."
  }

  assert {
    condition = (
      { for key, grant in google_storage_bucket_iam_member.deployments : key => grant.role } == {
        "inventory uploads create"  = "roles/storage.objectCreator"
        "inventory uploads read"    = "roles/storage.objectViewer"
        "media-jobs media create"   = "roles/storage.objectCreator"
        "media-jobs uploads delete" = "roles/storage.objectUser"
        "media-jobs uploads read"   = "roles/storage.objectViewer"
      }
      && toset(keys(google_service_account_iam_member.signers)) == toset(["inventory"])
    )
    error_message = "Staff may let a browser send a file and look whether it came; the public bucket is not theirs."
  }

  assert {
    condition = (
      google_cloudfunctions2_function.deployments["inventory"].service_config[0].environment_variables.UPLOADS_BUCKET == "shop-1-vitrine-uploads"
      && google_cloudfunctions2_function.deployments["media-jobs"].service_config[0].environment_variables.MEDIA_BUCKET == "shop-1-vitrine-media"
      && !contains(keys(google_cloudfunctions2_function.deployments["inventory"].service_config[0].environment_variables), "MEDIA_BUCKET")
    )
    error_message = "A function is told the names of its buckets, and of no other."
  }

  assert {
    condition = alltrue([
      for name in ["media-jobs", "payment-jobs", "notify"] :
      google_cloudfunctions2_function.deployments[name].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    ])
    error_message = "Jobs are reached from inside only."
  }

  assert {
    condition     = toset(keys(google_cloud_run_service_iam_member.everyone)) == toset(["checkout", "desk", "inventory", "search", "webhooks"])
    error_message = "Nobody but the named callers may invoke jobs."
  }

  assert {
    condition     = toset(keys(google_cloud_run_service_iam_member.invokers)) == toset(["media-jobs scheduler", "media-jobs tasks", "notify pubsub", "notify scheduler", "payment-jobs scheduler", "payment-jobs tasks"])
    error_message = "Jobs are called by the invokers that the table names."
  }

  assert {
    condition = alltrue([
      for name, subscription in google_pubsub_subscription.push :
      length(subscription.dead_letter_policy) == 1 && length(subscription.retry_policy) == 1 && contains(keys(google_pubsub_subscription.dead_letters), name)
    ])
    error_message = "Every subscription has backoff, a dead-letter topic, and a subscription that keeps dead letters."
  }

  assert {
    condition     = google_pubsub_subscription.dead_letters["notify-orders"].push_config[0].push_endpoint == "https://notify-123456789012.europe-west3.run.app/jobs/notify/dead-letters?subscription=notify-orders&topic=orders"
    error_message = "Dead letters are brought to the consumer that the table names, which is told whose they were."
  }

  assert {
    condition     = google_cloud_tasks_queue.queues["payments"].rate_limits[0].max_dispatches_per_second == 50
    error_message = "Queues have bounded rates, the table's."
  }

  assert {
    condition     = google_cloud_scheduler_job.schedules["relay"].http_target[0].uri == "https://notify-123456789012.europe-west3.run.app/jobs/notify/relay"
    error_message = "A schedule calls its row's path."
  }

  assert {
    condition     = contains(keys(google_monitoring_alert_policy.alerts), "dead-letters") && contains(keys(google_monitoring_alert_policy.alerts), "tasks-waiting")
    error_message = "Dead letters and waiting tasks raise alerts."
  }

  assert {
    condition = (
      one(one(google_monitoring_alert_policy.alerts["reconciliation-findings"].conditions).condition_threshold).threshold_value == 0
      && one(one(google_monitoring_alert_policy.alerts["reconciliation-silent"].conditions).condition_absent).duration == "3600s"
      && length(one(google_monitoring_alert_policy.alerts["reconciliation-silent"].conditions).condition_threshold) == 0
      && contains(keys(google_monitoring_alert_policy.alerts), "reconciliation-late")
    )
    error_message = "What reconciliation finds raises an alert, and so does its silence."
  }

  assert {
    condition     = strcontains(google_logging_metric.counted["reconciliation-findings"].filter, "jsonPayload.message = \"reconciled\" AND (jsonPayload.found > 0 OR jsonPayload.open > 0)")
    error_message = "Findings are counted by the line that every run writes."
  }
}

run "pools_that_the_database_cannot_carry_are_refused" {
  command = plan

  variables {
    database = { max_connections = 100 }
  }

  expect_failures = [google_sql_database_instance.vitrine]
}

run "pools_that_just_fit_are_not" {
  command = plan

  # search 12 x 3 and webhooks 4 x 2 are 44; 44 x 2 + 10 = 98 <= 0.8 x 123
  variables {
    database = { max_connections = 123 }
  }

  assert {
    condition     = local.pooled_connections == 44
    error_message = "The sum of max_instances x pool_size."
  }
}

run "a_deployment_without_a_row_is_refused" {
  command = plan

  variables {
    deployments = ["search", "serach"]
  }

  expect_failures = [var.deployments]
}

run "a_deployment_without_an_archive_is_refused" {
  command = plan

  variables {
    archives = { search = { path = "build/search.zip", sha256 = sha256("search") } }
  }

  expect_failures = [var.deployments]
}

run "a_secret_that_is_not_pinned_is_refused" {
  command = plan

  variables {
    secret_versions = { TOKEN_KEYS = "latest" }
  }

  expect_failures = [var.secret_versions]
}

run "settings_of_the_local_cloud_are_refused" {
  command = plan

  variables {
    settings = { PAYPAL_CERT_ROOTS = "/roots.pem" }
  }

  expect_failures = [var.settings]
}

run "a_bucket_of_somebody_else_is_refused" {
  command = plan

  variables {
    settings = { UPLOADS_BUCKET = "elsewhere" }
  }

  expect_failures = [var.settings]
}

run "a_setting_that_no_row_names_is_refused" {
  command = plan

  variables {
    settings = { MAIL_FORM = "Vitrine <orders@shop.example.com>" }
  }

  expect_failures = [var.settings]
}

run "a_setting_without_a_value_is_refused" {
  command = plan

  variables {
    deployments = ["search", "notify"]
    settings    = { SENDGRID_BASE_URL = "https://api.sendgrid.com", MAIL_FROM = " " }
  }

  expect_failures = [var.settings]
}

run "settings_with_a_default_or_of_a_deployment_that_does_not_exist_need_no_value" {
  command = plan

  variables {
    deployments = ["search", "webhooks", "payment-jobs"]
    settings    = { PAYPAL_BASE_URL = "https://api-m.paypal.com" }
  }

  assert {
    condition     = local.required_settings == toset(["PAYPAL_BASE_URL"])
    error_message = "PAYPAL_INVOICE_PREFIX, PAYPAL_CERT_PREFIXES and notify's MAIL_FROM are asked of nobody."
  }
}
