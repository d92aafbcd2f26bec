resource "google_pubsub_topic" "topics" {
  for_each = local.topics

  name                       = each.key
  message_retention_duration = "604800s" # a week: what a consumer lost can be played again

  depends_on = [google_project_service.apis]
}

resource "google_pubsub_topic_iam_member" "publishers" {
  for_each = merge([
    for name, row in local.deployments : { for topic in row.publishes : "${name} ${topic}" => { deployment = name, topic = topic } }
  ]...)

  topic  = google_pubsub_topic.topics[each.value.topic].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.deployments[each.value.deployment].member
}
