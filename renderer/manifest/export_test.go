package manifest

// Leaks is for tests, which have no objects that repeat a secret: rules before it
// refuse what would.
var Leaks = leaks
