# Only the vessels: values are added by hand as versions (README.md) and never pass through Terraform or its state.

resource "google_secret_manager_secret" "secrets" {
  for_each = local.secrets

  secret_id = each.key

  replication {
    auto {}
  }

  depends_on = [google_project_service.apis]
}

resource "google_secret_manager_secret_iam_member" "readers" {
  for_each = merge([
    for name, row in local.deployments : { for secret in row.secrets : "${name} ${secret}" => { deployment = name, secret = secret } }
  ]...)

  secret_id = google_secret_manager_secret.secrets[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.deployments[each.value.deployment].member
}
