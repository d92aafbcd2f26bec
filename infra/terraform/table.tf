# functions/deployments.yaml, and what follows from it for the deployments that exist.

locals {
  table = yamldecode(file("${path.module}/../../functions/deployments.yaml"))

  deployments = { for row in local.table.deployments : row.name => row if contains(var.deployments, row.name) }

  # Public and staff are called through the load balancer, jobs by Google's services with a token.
  routed = { for name, row in local.deployments : name => row if row.access != "jobs" }
  jobs   = { for name, row in local.deployments : name => row if row.access == "jobs" }

  push = merge([
    for name, row in local.deployments : {
      for trigger in try(row.triggers.push, []) : trigger.subscription => merge(trigger, { deployment = name })
    }
  ]...)

  # One consumer for the dead letters of every subscription, deployed or not: it finds them when it comes.
  dead_letters = one(flatten([
    for row in local.table.deployments : [
      for trigger in try(row.triggers.dead_letters, []) : merge(trigger, { deployment = row.name })
    ]
  ]))

  schedules = merge([
    for name, row in local.deployments : {
      for trigger in try(row.triggers.schedules, []) : trigger.name => merge(trigger, { deployment = name })
    }
  ]...)

  # A queue or topic exists as soon as somebody needs it, whether or not its other side is deployed yet.
  queues = {
    for queue in local.table.queues : queue.name => queue if anytrue([
      for row in values(local.deployments) :
      contains(row.enqueues, queue.name) || contains(try(row.triggers.queues[*].queue, []), queue.name)
    ])
  }
  topics = toset([
    for topic in local.table.topics : topic.name if anytrue([
      for row in values(local.deployments) :
      contains(row.publishes, topic.name) || contains(try(row.triggers.push[*].topic, []), topic.name)
    ])
  ])

  # Who works a queue off, deployed or not: tasks carry its address.
  workers = merge([
    for row in local.table.deployments : { for trigger in try(row.triggers.queues, []) : trigger.queue => row.name }
  ]...)

  # The address of a function is known before it exists (Cloud Run's URL by project number), so that functions may name
  # each other, and themselves, without a cycle.
  urls = {
    for row in local.table.deployments : row.name => "https://${row.name}-${var.project.number}.${var.region}.run.app"
  }

  secrets  = toset(flatten(values(local.deployments)[*].secrets))
  invokers = toset(flatten(values(local.deployments)[*].invokers))

  # A function has its own defaults for these.
  optional_settings = toset(["PAYPAL_CERT_PREFIXES", "PAYPAL_CERT_ROOTS", "PAYPAL_INVOICE_PREFIX", "TURNSTILE_BASE_URL", "TURNSTILE_HOSTNAMES"])

  # These follow from the stack itself; var.settings may only point MEDIA_URL elsewhere.
  own_settings = toset(["MEDIA_BUCKET", "MEDIA_URL", "PUBLIC_URL", "UPLOADS_BUCKET"])

  known_settings    = setsubtract(flatten(local.table.deployments[*].settings), ["MEDIA_BUCKET", "UPLOADS_BUCKET"])
  required_settings = setsubtract(flatten(values(local.deployments)[*].settings), setunion(local.optional_settings, local.own_settings))

  pooled_connections = sum([for row in values(local.deployments) : row.max_instances * row.pool_size])
}
