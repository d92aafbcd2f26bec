# Only the private profile has a network of its own: the connector needs none, and no machine that is always on.

resource "google_compute_network" "vitrine" {
  count = var.database_access == "private" ? 1 : 0

  name                    = "vitrine"
  auto_create_subnetworks = false

  depends_on = [google_project_service.apis]
}

resource "google_compute_subnetwork" "functions" {
  count = var.database_access == "private" ? 1 : 0

  name                     = "vitrine-functions"
  network                  = google_compute_network.vitrine[0].id
  region                   = var.region
  ip_cidr_range            = "10.8.0.0/28" # a VPC access connector takes exactly a /28
  private_ip_google_access = true
}

resource "google_vpc_access_connector" "functions" {
  count = var.database_access == "private" ? 1 : 0

  name          = "vitrine-functions"
  region        = var.region
  machine_type  = "e2-micro"
  min_instances = 2
  max_instances = 4

  subnet {
    name = google_compute_subnetwork.functions[0].name
  }

  depends_on = [google_project_service.apis]
}

# Cloud SQL's side of the private address.
resource "google_compute_global_address" "database" {
  count = var.database_access == "private" ? 1 : 0

  name          = "vitrine-database"
  network       = google_compute_network.vitrine[0].id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_service_networking_connection" "database" {
  count = var.database_access == "private" ? 1 : 0

  network                 = google_compute_network.vitrine[0].id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database[0].name]
}
