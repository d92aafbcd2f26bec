terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.40"
    }
  }

  # Where the state lives is the operator's choice: terraform init -backend-config=... (README.md).
  backend "gcs" {}
}

provider "google" {
  project        = var.project.id
  region         = var.region
  default_labels = { app = "vitrine" }
}
