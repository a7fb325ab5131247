package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// credentialsEnv is where systemd tells the folder of a service's credentials.
const credentialsEnv = "CREDENTIALS_DIRECTORY"

// isCredential says whether a value is the name of a credential of the service
// (LoadCredential=) and no path.
func isCredential(value string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`).MatchString(value)
}

// credential is the path of a file that is named by its path or, if it has no
// slash, as a credential of the service.
func credential(value string) (string, error) {
	if !isCredential(value) {
		return value, nil
	}
	dir := os.Getenv(credentialsEnv)
	if dir == "" {
		return "", fmt.Errorf("%s is a credential of the service, and this program was not started by it; start it by systemd, "+
			"or with %s=/run/credentials/callrecordd.service", value, credentialsEnv)
	}
	if !filepath.IsAbs(dir) {
		return "", errors.New(credentialsEnv + " is not an absolute path")
	}
	return filepath.Join(dir, value), nil
}

// checkFile is checkPath for files that may be credentials.
func checkFile(r *report, key, path string) {
	if !isCredential(path) {
		checkPath(r, key, path)
	}
}

// CertificateKeyFile is the path of the key of HTTPS, which may be a credential
// of the service.
func (h HTTP) CertificateKeyFile() (string, error) {
	path, err := credential(h.CertificateKey)
	if err != nil {
		return "", fmt.Errorf("http.certificate_key: %w", err)
	}
	return path, nil
}
