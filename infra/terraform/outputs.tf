output "address" {
  description = "Where the DNS record of the domain must point."
  value       = google_compute_global_address.public.address
}

output "database_grants" {
  description = "What the owner of the database runs once after the first migration: each function's login becomes a member of its role."
  value = join("\n", [
    for name, row in local.deployments : "grant vitrine_${row.database_role} to \"${google_sql_user.deployments[name].name}\";"
  ])
}

output "functions" {
  description = "Each function's own address; only Google's services and the load balancer may call it."
  value       = { for name in keys(local.deployments) : name => local.urls[name] }
}

output "migrations" {
  description = "What `alembic upgrade head` needs in its environment, run as the account of DATABASE_USER."
  value = {
    DATABASE_ACCESS   = "connector"
    DATABASE_INSTANCE = google_sql_database_instance.vitrine.connection_name
    DATABASE_IP_TYPE  = var.database_access == "private" ? "private" : "public"
    DATABASE_NAME     = google_sql_database.vitrine.name
    DATABASE_USER     = google_sql_user.migrations.name
  }
}
