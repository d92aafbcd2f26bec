# One account per deployment, one per kind of caller, one that builds, one that migrates. Roles lie next to what they open.

resource "google_service_account" "deployments" {
  for_each = local.deployments

  account_id   = "vitrine-${each.key}"
  display_name = "Vitrine: the function ${each.key}"

  depends_on = [google_project_service.apis]
}

resource "google_service_account" "invokers" {
  for_each = setunion(local.invokers, length(local.queues) > 0 ? ["tasks"] : [])

  account_id   = "vitrine-by-${each.key}"
  display_name = "Vitrine: calls jobs by ${each.key}"

  depends_on = [google_project_service.apis]
}

resource "google_service_account" "builder" {
  account_id   = "vitrine-builder"
  display_name = "Vitrine: builds functions"

  depends_on = [google_project_service.apis]
}

resource "google_project_iam_member" "builder" {
  for_each = toset(["roles/artifactregistry.createOnPushWriter", "roles/logging.logWriter"])

  project = var.project.id
  role    = each.key
  member  = google_service_account.builder.member
}

# Who deploys runs the migrations as this account: no key, impersonation only (README.md).
resource "google_service_account" "migrations" {
  account_id   = "vitrine-migrations"
  display_name = "Vitrine: migrates the database before a deployment"

  depends_on = [google_project_service.apis]
}
