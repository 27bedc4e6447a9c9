// A stand-in for the Go service, for the tests of the bench that builds and measures it: the same routes, started by the
// same environment, with answers that are constants. It looks for the cluster it is told of as the real one does.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	if _, err := os.Stat(os.Getenv("KUBECONFIG")); err != nil {
		fmt.Fprintln(os.Stderr, "no cluster:", err)
		os.Exit(1)
	}
	answers := map[string]struct {
		status int
		body   string
	}{
		"GET /health":                         {200, `{"status":"healthy"}`},
		"GET /v1/models":                      {200, `{"object":"list","data":[]}`},
		"POST /v1/api-keys":                   {201, `{"key":"made by a stand-in"}`},
		"POST /internal/v1/api-keys/validate": {200, `{"valid":true}`},
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		answer, found := answers[r.Method+" "+r.URL.Path]
		if !found {
			w.WriteHeader(404)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.status)
		fmt.Fprint(w, answer.body)
	}
	if err := http.ListenAndServe(os.Getenv("ADDRESS"), http.HandlerFunc(handler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
