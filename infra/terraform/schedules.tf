resource "google_cloud_scheduler_job" "schedules" {
  for_each = local.schedules

  name      = each.key
  region    = var.region
  schedule  = each.value.cron
  time_zone = "Etc/UTC"
  # The next run does what this one left: no retry, and no run longer than its function.
  attempt_deadline = "${max(15, local.deployments[each.value.deployment].timeout_s)}s"

  http_target {
    http_method = "POST"
    uri         = "${local.urls[each.value.deployment]}${each.value.path}"
    body        = base64encode("{}")
    headers     = { "Content-Type" = "application/json" }

    oidc_token {
      service_account_email = google_service_account.invokers["scheduler"].email
      audience              = local.urls[each.value.deployment]
    }
  }

  depends_on = [google_project_service.apis]
}
