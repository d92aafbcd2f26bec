variable "alert_emails" {
  description = "Who is told when an alert opens."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "Each of alert_emails must be an e-mail address."
  }
}

variable "archives" {
  description = "Source archives by deployment; `make bundle` writes build/archives.tfvars.json. Paths are relative to the repository's root."
  type = map(object({
    path   = string
    sha256 = string
  }))

  validation {
    condition     = alltrue([for archive in values(var.archives) : can(regex("^[0-9a-f]{64}$", archive.sha256))])
    error_message = "Each archive's sha256 must be 64 hexadecimal digits, as `make bundle` writes them."
  }
}

variable "database" {
  description = "The Cloud SQL instance. max_connections must carry twice the pools of all instances, because a deployment overlaps its predecessor."
  type = object({
    availability_type   = optional(string, "REGIONAL")
    deletion_protection = optional(bool, true)
    disk_size_gb        = optional(number, 20)
    edition             = optional(string, "ENTERPRISE")
    max_connections     = optional(number, 400)
    retained_backups    = optional(number, 14)
    tier                = optional(string, "db-custom-2-7680")
    version             = optional(string, "POSTGRES_18")
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["REGIONAL", "ZONAL"], var.database.availability_type)
    error_message = "The database's availability_type must be REGIONAL or ZONAL."
  }
}

variable "database_access" {
  description = "How functions reach the database: by the Cloud SQL connector (no network of our own), or by a private address over TLS (lowest cold start)."
  type        = string
  default     = "connector"

  validation {
    condition     = contains(["connector", "private"], var.database_access)
    error_message = "database_access must be connector or private."
  }
}

variable "deployments" {
  description = "Which rows of functions/deployments.yaml exist."
  type        = set(string)
  default     = ["search", "webhooks"]

  validation {
    condition     = length(setsubtract(var.deployments, local.table.deployments[*].name)) == 0
    error_message = "Each of deployments must be the name of a row of functions/deployments.yaml."
  }

  validation {
    condition     = length(setsubtract(var.deployments, keys(var.archives))) == 0
    error_message = "Each of deployments needs its archive: run `make bundle` and pass build/archives.tfvars.json."
  }
}

variable "domain" {
  description = "The host name that the load balancer serves; its DNS record must point to the output `address`."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name such as shop.example.com, without a scheme."
  }
}

variable "project" {
  description = "The Google Cloud project; its number is part of every function's address."
  type = object({
    id     = string
    number = number
  })
}

variable "region" {
  description = "Where everything runs."
  type        = string
  default     = "europe-west3"
}

variable "requests_per_minute" {
  description = "How many requests one address may make in a minute before it is answered 429. Webhooks are not counted: their senders have few addresses."
  type        = number
  default     = 600
}

variable "secret_versions" {
  description = "The version of each secret that functions read. A new value is a new version, and a new version is a change here."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for version in values(var.secret_versions) : can(regex("^[1-9][0-9]*$", version))])
    error_message = "Secret versions are pinned: each must be a number, not `latest`."
  }
}

variable "settings" {
  description = "Values of the settings that rows of the table name; PUBLIC_URL and MEDIA_URL follow from domain, the buckets from the stack. Every setting of a deployment that exists needs its value here, except PAYPAL_CERT_PREFIXES, PAYPAL_INVOICE_PREFIX, TURNSTILE_BASE_URL and TURNSTILE_HOSTNAMES (the host of PUBLIC_URL), for which the function's own default holds."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.settings), local.known_settings)) == 0
    error_message = "No row of functions/deployments.yaml names these settings: ${join(", ", setsubtract(keys(var.settings), local.known_settings))}."
  }

  validation {
    condition     = alltrue([for setting in local.required_settings : try(trimspace(var.settings[setting]) != "", false)])
    error_message = "Deployments that exist need a value for each of these settings: ${join(", ", local.required_settings)}."
  }

  validation {
    condition     = !contains(keys(var.settings), "PAYPAL_CERT_ROOTS")
    error_message = "PAYPAL_CERT_ROOTS belongs to the local cloud: a deployed function believes in the public authorities."
  }
}
