locals {
  # What every function is told; the names are those that shared/settings reads.
  environment = merge(
    {
      VITRINE_ENVIRONMENT  = "production"
      GOOGLE_CLOUD_PROJECT = var.project.id
      DATABASE_ACCESS      = var.database_access
      DATABASE_NAME        = google_sql_database.vitrine.name
      TASKS_LOCATION       = var.region
    },
    var.database_access == "connector"
    ? { DATABASE_INSTANCE = google_sql_database_instance.vitrine.connection_name }
    : {
      DATABASE_HOST = google_sql_database_instance.vitrine.private_ip_address
      DATABASE_CA   = google_sql_database_instance.vitrine.server_ca_cert[0].cert
    },
    length(local.queues) > 0 ? { TASKS_INVOKER = google_service_account.invokers["tasks"].email } : {},
    { for queue in keys(local.queues) : "QUEUE_URL_${upper(replace(queue, "-", "_"))}" => local.urls[local.workers[queue]] },
  )

  settings = merge(
    {
      PUBLIC_URL     = "https://${var.domain}"
      MEDIA_URL      = "https://${var.domain}/media"
      MEDIA_BUCKET   = google_storage_bucket.media.name
      UPLOADS_BUCKET = google_storage_bucket.uploads.name
    },
    var.settings,
  )
}

resource "google_cloudfunctions2_function" "deployments" {
  for_each = local.deployments

  name     = each.key
  location = var.region

  build_config {
    runtime         = "python311" # the version that `make bundle` compiles for
    entry_point     = each.value.entry_point
    service_account = google_service_account.builder.id

    source {
      storage_source {
        bucket = google_storage_bucket.archives.name
        object = google_storage_bucket_object.archives[each.key].name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.deployments[each.key].email
    available_memory                 = each.value.memory
    available_cpu                    = tostring(each.value.cpu)
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = each.value.min_instances
    max_instance_count               = each.value.max_instances
    timeout_seconds                  = each.value.timeout_s
    all_traffic_on_latest_revision   = true

    # Around the load balancer nobody could be limited, and X-Forwarded-For could be forged.
    ingress_settings = each.value.access == "jobs" ? "ALLOW_INTERNAL_ONLY" : "ALLOW_INTERNAL_AND_GCLB"

    vpc_connector                 = var.database_access == "private" ? google_vpc_access_connector.functions[0].id : null
    vpc_connector_egress_settings = var.database_access == "private" ? "PRIVATE_RANGES_ONLY" : null

    environment_variables = merge(
      local.environment,
      { for setting in each.value.settings : setting => local.settings[setting] if contains(keys(local.settings), setting) },
      {
        VITRINE_DEPLOYMENT = each.key
        DATABASE_USER      = google_sql_user.deployments[each.key].name
        FUNCTION_TIMEOUT_S = tostring(each.value.timeout_s)
        POOL_SIZE          = tostring(each.value.pool_size)
        # The framework's own default is four threads a core: requests would wait before they are looked at.
        THREADS = tostring(each.value.concurrency)
      },
    )

    dynamic "secret_environment_variables" {
      for_each = toset(each.value.secrets)

      content {
        key        = secret_environment_variables.key
        project_id = var.project.id
        secret     = google_secret_manager_secret.secrets[secret_environment_variables.key].secret_id
        version    = lookup(var.secret_versions, secret_environment_variables.key, "1")
      }
    }
  }

  lifecycle {
    precondition {
      condition     = each.value.access != "public" || length(each.value.invokers) == 0
      error_message = "${each.key} is public and names invokers: a caller list belongs to jobs."
    }
  }

  depends_on = [
    google_project_iam_member.builder,
    google_project_iam_member.database,
    google_secret_manager_secret_iam_member.readers,
    google_storage_bucket_iam_member.builder,
    google_storage_bucket_iam_member.deployments,
  ]
}

# Routes check their callers themselves: the platform lets everyone in whom the ingress lets in.
resource "google_cloud_run_service_iam_member" "everyone" {
  for_each = local.routed

  location = var.region
  service  = google_cloudfunctions2_function.deployments[each.key].name
  role     = "roles/run.invoker"
  member   = "allUsers"
}

resource "google_cloud_run_service_iam_member" "invokers" {
  for_each = merge([
    for name, row in local.jobs : { for invoker in row.invokers : "${name} ${invoker}" => { deployment = name, invoker = invoker } }
  ]...)

  location = var.region
  service  = google_cloudfunctions2_function.deployments[each.value.deployment].name
  role     = "roles/run.invoker"
  member   = google_service_account.invokers[each.value.invoker].member
}
