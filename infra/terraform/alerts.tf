# Few alerts, each with what to do first: docs/runbooks.md has a heading for every key of this map.

locals {
  functions = join("|", sort(keys(local.deployments)))

  alerts = merge(
    {
      "function-errors" = {
        means     = "More than 5 % of a function's answers were 5xx for five minutes."
        filter    = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = monitoring.regex.full_match(\"${local.functions}\") AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
        of        = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = monitoring.regex.full_match(\"${local.functions}\") AND metric.type = \"run.googleapis.com/request_count\""
        aligner   = "ALIGN_RATE"
        group_by  = ["resource.label.service_name"]
        threshold = 0.05
      }
      "function-logs-errors" = {
        means     = "A function logged at ERROR: something that a person must look at."
        filter    = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.counted["errors"].name}\""
        of        = null
        aligner   = "ALIGN_SUM"
        group_by  = ["resource.label.service_name"]
        threshold = 0
      }
      "webhooks-refused" = {
        means     = "Webhooks with a bad signature keep coming: somebody forges them, or our webhook id is wrong."
        filter    = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.counted["webhooks-refused"].name}\""
        of        = null
        aligner   = "ALIGN_SUM"
        group_by  = []
        threshold = 5
      }
      "database-connections" = {
        means     = "More than 80 % of the database's connections are taken."
        filter    = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/postgresql/num_backends\""
        of        = null
        aligner   = "ALIGN_MAX"
        group_by  = []
        threshold = floor(0.8 * var.database.max_connections)
      }
      "database-disk" = {
        means     = "The database's disk is more than 85 % full although it grows by itself."
        filter    = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/disk/utilization\""
        of        = null
        aligner   = "ALIGN_MAX"
        group_by  = []
        threshold = 0.85
      }
    },
    length(local.push) == 0 ? {} : {
      "dead-letters" = {
        means     = "Messages were given up after all attempts and wait to be read and replayed."
        filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = monitoring.regex.full_match(\"${join("|", sort(keys(local.push)))}\") AND metric.type = \"pubsub.googleapis.com/subscription/dead_letter_message_count\""
        of        = null
        aligner   = "ALIGN_SUM"
        group_by  = ["resource.label.subscription_id"]
        threshold = 0
      }
    },
    length(local.queues) == 0 ? {} : {
      "tasks-waiting" = {
        means     = "More than a hundred tasks wait in a queue: a vendor is down, or the worker is."
        filter    = "resource.type = \"cloud_tasks_queue\" AND metric.type = \"cloudtasks.googleapis.com/queue/depth\""
        of        = null
        aligner   = "ALIGN_MIN"
        group_by  = ["resource.label.queue_id"]
        threshold = 100
      }
    },
  )
}

resource "google_logging_metric" "counted" {
  for_each = {
    "errors"           = "severity >= ERROR"
    "webhooks-refused" = "jsonPayload.message = \"webhook_refused\""
  }

  name   = "vitrine-${each.key}"
  filter = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name =~ \"^(${local.functions})$\" AND ${each.value}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.apis]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.apis]
}

resource "google_monitoring_alert_policy" "alerts" {
  for_each = local.alerts

  display_name          = "vitrine: ${each.key}"
  combiner              = "OR"
  notification_channels = values(google_monitoring_notification_channel.email)[*].id

  conditions {
    display_name = each.value.means

    condition_threshold {
      filter             = each.value.filter
      denominator_filter = each.value.of
      comparison         = "COMPARISON_GT"
      threshold_value    = each.value.threshold
      # What counts events must not wait: five errors in one minute are over before five minutes are.
      duration = each.value.aligner == "ALIGN_SUM" ? "0s" : "300s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = each.value.group_by
      }

      dynamic "denominator_aggregations" {
        for_each = each.value.of == null ? [] : [each.value]

        content {
          alignment_period     = "60s"
          per_series_aligner   = denominator_aggregations.value.aligner
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = denominator_aggregations.value.group_by
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.means} Runbook: docs/runbooks.md#${each.key}"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
