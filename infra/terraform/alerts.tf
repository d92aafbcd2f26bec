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
    !contains(keys(local.deployments), "payment-jobs") ? {} : {
      "reconciliation-findings" = {
        means     = "PayPal, orders and stock did not say the same: what was put right, or waits for a person."
        filter    = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.counted["reconciliation-findings"].name}\""
        of        = null
        aligner   = "ALIGN_SUM"
        group_by  = []
        threshold = 0
        absent_s  = null
      }
      "reconciliation-late" = {
        means     = "No full reconciliation has ended for 26 hours."
        filter    = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.counted["reconciliation-late"].name}\""
        of        = null
        aligner   = "ALIGN_SUM"
        group_by  = []
        threshold = 0
        absent_s  = null
      }
      # Cloud Monitoring sees absence for 23.5 hours at most; so this one watches the runs of every few minutes, and they say
      # themselves that the night's is late.
      "reconciliation-silent" = {
        means     = "No reconciliation at all has ended for an hour."
        filter    = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.counted["reconciliations"].name}\""
        of        = null
        aligner   = "ALIGN_SUM"
        group_by  = []
        threshold = 0
        absent_s  = 3600
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
    "errors"                  = "severity >= ERROR"
    "reconciliation-findings" = "jsonPayload.message = \"reconciled\" AND (jsonPayload.found > 0 OR jsonPayload.open > 0)"
    "reconciliation-late"     = "jsonPayload.message = \"reconciliation_late\""
    "reconciliations"         = "jsonPayload.message = \"reconciled\""
    "webhooks-refused"        = "jsonPayload.message = \"webhook_refused\""
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

    dynamic "condition_threshold" {
      for_each = try(each.value.absent_s, null) == null ? [each.value] : []

      content {
        filter             = condition_threshold.value.filter
        denominator_filter = condition_threshold.value.of
        comparison         = "COMPARISON_GT"
        threshold_value    = condition_threshold.value.threshold
        # What counts events must not wait: five errors in one minute are over before five minutes are.
        duration = condition_threshold.value.aligner == "ALIGN_SUM" ? "0s" : "300s"

        aggregations {
          alignment_period     = "60s"
          per_series_aligner   = condition_threshold.value.aligner
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = condition_threshold.value.group_by
        }

        dynamic "denominator_aggregations" {
          for_each = condition_threshold.value.of == null ? [] : [condition_threshold.value]

          content {
            alignment_period     = "60s"
            per_series_aligner   = denominator_aggregations.value.aligner
            cross_series_reducer = "REDUCE_SUM"
            group_by_fields      = denominator_aggregations.value.group_by
          }
        }
      }
    }

    dynamic "condition_absent" {
      for_each = try(each.value.absent_s, null) == null ? [] : [each.value]

      content {
        filter   = condition_absent.value.filter
        duration = "${condition_absent.value.absent_s}s"

        aggregations {
          alignment_period     = "60s"
          per_series_aligner   = "ALIGN_SUM"
          cross_series_reducer = "REDUCE_SUM"
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
