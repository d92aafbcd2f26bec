resource "google_sql_database_instance" "vitrine" {
  name                = "vitrine"
  region              = var.region
  database_version    = var.database.version
  deletion_protection = var.database.deletion_protection

  settings {
    tier                        = var.database.tier
    edition                     = var.database.edition
    availability_type           = var.database.availability_type
    disk_size                   = var.database.disk_size_gb
    disk_autoresize             = true
    deletion_protection_enabled = var.database.deletion_protection
    # With the connector nothing else may reach the public address: no client certificate of ours, no connection.
    connector_enforcement = var.database_access == "connector" ? "REQUIRED" : "NOT_REQUIRED"

    ip_configuration {
      ipv4_enabled    = var.database_access == "connector"
      private_network = var.database_access == "private" ? google_compute_network.vitrine[0].id : null
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      start_time                     = "02:00"

      backup_retention_settings {
        retained_backups = var.database.retained_backups
      }
    }

    insights_config {
      query_insights_enabled = true
    }

    maintenance_window {
      day          = 2
      hour         = 3
      update_track = "stable"
    }

    dynamic "database_flags" {
      for_each = {
        "cloudsql.iam_authentication" = "on"
        "log_checkpoints"             = "on"
        "log_lock_waits"              = "on"
        "log_min_duration_statement"  = "1000"
        "log_temp_files"              = "0"
        "max_connections"             = tostring(var.database.max_connections)
      }

      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    precondition {
      condition = local.pooled_connections * 2 + 10 <= 0.8 * var.database.max_connections
      error_message = format(
        "The pools of all instances need %d connections (twice %d for a deployment that overlaps its predecessor, and 10 for people), and 0.8 x max_connections is %d: raise max_connections, or lower max_instances or pool_size in functions/deployments.yaml.",
        local.pooled_connections * 2 + 10, local.pooled_connections, floor(0.8 * var.database.max_connections),
      )
    }
  }

  depends_on = [google_project_service.apis, google_service_networking_connection.database]
}

resource "google_sql_database" "vitrine" {
  name     = "vitrine"
  instance = google_sql_database_instance.vitrine.name
}

# Cloud SQL's name of a service account as a database user lacks the end of its e-mail.
resource "google_sql_user" "deployments" {
  for_each = local.deployments

  instance = google_sql_database_instance.vitrine.name
  name     = trimsuffix(google_service_account.deployments[each.key].email, ".gserviceaccount.com")
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"
}

resource "google_sql_user" "migrations" {
  instance = google_sql_database_instance.vitrine.name
  name     = trimsuffix(google_service_account.migrations.email, ".gserviceaccount.com")
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"
}

# The roles can only be given on the project; the condition holds them to this instance.
resource "google_project_iam_member" "database" {
  for_each = {
    for pair in setproduct(concat(keys(local.deployments), ["migrations"]), ["roles/cloudsql.client", "roles/cloudsql.instanceUser"]) :
    "${pair[0]} ${pair[1]}" => { account = pair[0], role = pair[1] }
  }

  project = var.project.id
  role    = each.value.role
  member = (each.value.account == "migrations"
    ? google_service_account.migrations.member
  : google_service_account.deployments[each.value.account].member)

  condition {
    title      = "only vitrine's database"
    expression = "resource.service == 'sqladmin.googleapis.com' && resource.name == 'projects/${var.project.id}/instances/${google_sql_database_instance.vitrine.name}'"
  }
}
