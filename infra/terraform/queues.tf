resource "google_cloud_tasks_queue" "queues" {
  for_each = local.queues

  name     = each.key
  location = var.region

  rate_limits {
    max_dispatches_per_second = each.value.max_dispatches_per_second
    max_concurrent_dispatches = each.value.max_concurrent_dispatches
  }

  # A task is only a wake-up for a row: after its last attempt it is deleted, and a sweep wakes the row.
  retry_config {
    max_attempts = each.value.max_attempts
    min_backoff  = "${each.value.min_backoff_s}s"
    max_backoff  = "${each.value.max_backoff_s}s"
  }

  stackdriver_logging_config {
    sampling_ratio = 0.1
  }

  depends_on = [google_project_service.apis]
}

locals {
  enqueuers = merge([
    for name, row in local.deployments : { for queue in row.enqueues : "${name} ${queue}" => { deployment = name, queue = queue } }
  ]...)
}

resource "google_cloud_tasks_queue_iam_member" "enqueuers" {
  for_each = local.enqueuers

  name     = google_cloud_tasks_queue.queues[each.value.queue].name
  location = var.region
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.deployments[each.value.deployment].member
}

# Who makes a task names the account that its token is for.
resource "google_service_account_iam_member" "enqueuers" {
  for_each = toset(values(local.enqueuers)[*].deployment)

  service_account_id = google_service_account.invokers["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployments[each.key].member
}
