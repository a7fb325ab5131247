// Package apiclient is a client of the API that another's generator has made
// of our OpenAPI description. Tests use it to show that the description is of
// use to strangers; it is no part of the daemon and must not be changed by
// hand.
package apiclient

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml openapi.json
