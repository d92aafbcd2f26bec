# Source archives, named by their content: an unchanged archive is not uploaded, a changed one builds its function anew.

resource "google_storage_bucket" "archives" {
  name                        = "${var.project.id}-vitrine-archives"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 90
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.apis]
}

resource "google_storage_bucket_object" "archives" {
  for_each = local.deployments

  bucket = google_storage_bucket.archives.name
  name   = "${each.key}/${var.archives[each.key].sha256}.zip"
  source = "${path.module}/../../${var.archives[each.key].path}"
}

resource "google_storage_bucket_iam_member" "builder" {
  bucket = google_storage_bucket.archives.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.builder.member
}
