package secrets

// Head is the metadata of a Secret.
var Head = head
