module github.com/holdfast-backup/holdfast/hack/sbom

go 1.26.0
