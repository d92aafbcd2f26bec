# The load balancer's guard. A webhook is never turned away here: PayPal and SendGrid send from few addresses, and each
# of their calls is verified by its signature.

resource "google_compute_security_policy" "guard" {
  name = "vitrine"
  type = "CLOUD_ARMOR"

  rule {
    priority    = 1000
    description = "Webhooks are not counted"
    action      = "allow"

    match {
      expr {
        expression = "request.path.startsWith('/v1/webhooks')"
      }
    }
  }

  rule {
    priority    = 2000
    description = "So many requests a minute from one address"
    action      = "throttle"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    priority    = 2147483647
    description = "The rest"
    action      = "allow"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.apis]
}
