# One address for all: the URL map is the table's routes, as the local gateway's is.

locals {
  trackers = ["fbclid", "gclid", "msclkid", "utm_campaign", "utm_content", "utm_medium", "utm_source", "utm_term"]
}

resource "google_compute_global_address" "public" {
  name = "vitrine"

  depends_on = [google_project_service.apis]
}

resource "google_compute_region_network_endpoint_group" "functions" {
  for_each = local.routed

  name                  = each.key
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = google_cloudfunctions2_function.deployments[each.key].name
  }
}

resource "google_compute_backend_service" "functions" {
  for_each = local.routed

  name                  = each.key
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.guard.id
  enable_cdn            = try(each.value.cached, false)
  compression_mode      = try(each.value.cached, false) ? "AUTOMATIC" : "DISABLED"

  dynamic "cdn_policy" {
    for_each = try(each.value.cached, false) ? [1] : []

    content {
      # What an answer does not say of itself is not kept: refusals are no-store.
      cache_mode       = "USE_ORIGIN_HEADERS"
      negative_caching = false

      cache_key_policy {
        include_host         = true
        include_protocol     = true
        include_query_string = true
        # What others append to a link that is passed on; no answer depends on it.
        query_string_blacklist = local.trackers
      }
    }
  }

  backend {
    group = google_compute_region_network_endpoint_group.functions[each.key].id
  }

  log_config {
    enable      = true
    sample_rate = 0.1
  }
}

resource "google_compute_url_map" "public" {
  name = "vitrine"

  # A path that no row names is answered by a function's own 404.
  default_service = google_compute_backend_service.functions[sort(keys(local.routed))[0]].id

  host_rule {
    hosts        = [var.domain]
    path_matcher = "table"
  }

  path_matcher {
    name            = "table"
    default_service = google_compute_backend_service.functions[sort(keys(local.routed))[0]].id

    dynamic "path_rule" {
      for_each = local.routed

      content {
        paths   = flatten([for route in path_rule.value.triggers.routes : [route, "${route}/*"]])
        service = google_compute_backend_service.functions[path_rule.key].id
      }
    }

    # Pictures, by the names that they have in the bucket (buckets.tf).
    path_rule {
      paths   = ["/media/*"]
      service = google_compute_backend_bucket.media.id

      route_action {
        url_rewrite {
          path_prefix_rewrite = "/"
        }
      }
    }
  }
}

resource "google_compute_managed_ssl_certificate" "public" {
  name = "vitrine"

  managed {
    domains = [var.domain]
  }

  depends_on = [google_project_service.apis]
}

resource "google_compute_ssl_policy" "modern" {
  name            = "vitrine"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.apis]
}

resource "google_compute_target_https_proxy" "public" {
  name             = "vitrine"
  url_map          = google_compute_url_map.public.id
  ssl_certificates = [google_compute_managed_ssl_certificate.public.id]
  ssl_policy       = google_compute_ssl_policy.modern.id
}

resource "google_compute_global_forwarding_rule" "https" {
  name                  = "vitrine-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.public.id
}

resource "google_compute_url_map" "to_https" {
  name = "vitrine-to-https"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT"
    strip_query            = false
  }

  depends_on = [google_project_service.apis]
}

resource "google_compute_target_http_proxy" "to_https" {
  name    = "vitrine-to-https"
  url_map = google_compute_url_map.to_https.id
}

resource "google_compute_global_forwarding_rule" "http" {
  name                  = "vitrine-http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public.id
  port_range            = "80"
  target                = google_compute_target_http_proxy.to_https.id
}
