# Two buckets: `uploads` takes what browsers send and is never public, `media` holds what everybody may see.

resource "google_storage_bucket" "uploads" {
  name                        = "${var.project.id}-vitrine-uploads"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Jobs delete what they have read; this is for what never became a job. Whole days, counted from midnight UTC.
  lifecycle_rule {
    condition {
      age = 2
    }
    action {
      type = "Delete"
    }
  }

  # A file is deleted for good: what a picture says of a place and a person is not kept for a week.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # The back office sends to a signed URL, from the shop's own origin.
  cors {
    origin          = ["https://${var.domain}"]
    method          = ["PUT"]
    response_header = ["Content-Type", "x-goog-content-length-range", "x-goog-if-generation-match"]
    max_age_seconds = 3600
  }

  depends_on = [google_project_service.apis]
}

resource "google_storage_bucket" "media" {
  name                        = "${var.project.id}-vitrine-media"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "inherited"

  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.apis]
}

# Everybody may read an object whose name they know, and list nothing.
resource "google_storage_bucket_iam_member" "everyone" {
  bucket = google_storage_bucket.media.name
  role   = "roles/storage.legacyObjectReader"
  member = "allUsers"
}

resource "google_compute_backend_bucket" "media" {
  name             = "media"
  bucket_name      = google_storage_bucket.media.name
  enable_cdn       = true
  compression_mode = "DISABLED"

  cdn_policy {
    # Names come from contents, so objects say of themselves that they never change.
    cache_mode        = "USE_ORIGIN_HEADERS"
    negative_caching  = false
    serve_while_stale = 86400
  }

  depends_on = [google_project_service.apis]
}

locals {
  buckets = { media = google_storage_bucket.media.name, uploads = google_storage_bucket.uploads.name }

  # Reading includes listing, so that what is missing is 404 and not 403. Nobody but Terraform changes a bucket.
  bucket_roles = {
    create = "roles/storage.objectCreator"
    delete = "roles/storage.objectUser"
    read   = "roles/storage.objectViewer"
  }

  bucket_grants = merge(flatten([
    for name, row in local.deployments : [
      for bucket, verbs in try(row.buckets, {}) : {
        for verb in verbs : "${name} ${bucket} ${verb}" => { deployment = name, bucket = bucket, verb = verb } if verb != "sign"
      }
    ]
  ])...)

  signers = toset([for name, row in local.deployments : name if anytrue([for verbs in values(try(row.buckets, {})) : contains(verbs, "sign")])])
}

resource "google_storage_bucket_iam_member" "deployments" {
  for_each = local.bucket_grants

  bucket = local.buckets[each.value.bucket]
  role   = local.bucket_roles[each.value.verb]
  member = google_service_account.deployments[each.value.deployment].member
}

# A signed URL is signed as the function's own account, by IAM: there is no key that could be lost.
resource "google_service_account_iam_member" "signers" {
  for_each = local.signers

  service_account_id = google_service_account.deployments[each.key].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.deployments[each.key].member
}
