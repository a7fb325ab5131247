package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callrecordd/config"
)

// TestPasswordsAreCredentialsOfTheService: a name without a slash is one that
// systemd hands over.
func TestPasswordsAreCredentialsOfTheService(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"ari": "a-secret\n", "ami": "b-secret", "smtp": "c-secret", "tls-key": "k"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	const text = "asterisk: {ari_password_file: ari, ami_password_file: ami}\nmail: {password_file: smtp}\n" +
		"http: {listen_tls: [\":443\"], certificate: /etc/cert.pem, certificate_key: tls-key}\n"
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	c := load(t, text)
	if c.Asterisk.ARIPassword.Reveal() != "a-secret" || c.Asterisk.AMIPassword.Reveal() != "b-secret" || c.Mail.Password.Reveal() != "c-secret" {
		t.Errorf("read %q %q %q", c.Asterisk.ARIPassword.Reveal(), c.Asterisk.AMIPassword.Reveal(), c.Mail.Password.Reveal())
	}
	if key, err := c.HTTP.CertificateKeyFile(); err != nil || key != filepath.Join(dir, "tls-key") {
		t.Errorf("the key of HTTPS is %q, %v", key, err)
	}
	for _, f := range c.Files() {
		if !filepath.IsAbs(f.Path) {
			t.Errorf("a credential is no file of this configuration: %+v", f)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, err := config.Load(write(t, text))
	if err == nil || !strings.Contains(err.Error(), "asterisk.ari_password_file: ari is a credential of the service, and this program was not started by it") {
		t.Errorf("without systemd: %v", err)
	}
	if _, err := config.LoadWithoutPasswords(write(t, text)); err != nil {
		t.Errorf("a command that needs no password: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, bad := range []string{"../ari", "./ari", "a b", "-ari"} {
		if _, err := config.Load(write(t, strings.Replace(text, "ari_password_file: ari", "ari_password_file: '"+bad+"'", 1))); err == nil {
			t.Errorf("%q is taken for a credential", bad)
		}
	}
}

// TestFilesThatARestoredSystemNeeds are those that the configuration names.
func TestFilesThatARestoredSystemNeeds(t *testing.T) {
	c := config.Default()
	c.Asterisk.ARIPasswordFile, c.HTTP.Certificate, c.HTTP.CertificateKey, c.Mail.BodyFile = "/a", "/b", "/c", "/d"
	got := map[string]bool{}
	for _, f := range c.Files() {
		got[f.Path] = f.Secret
	}
	for path, secret := range map[string]bool{"/a": true, "/b": false, "/c": true, "/d": false} {
		if s, ok := got[path]; !ok || s != secret || len(got) != 4 {
			t.Errorf("%s: %v, secret %v, want %v (of %v)", path, ok, s, secret, got)
		}
	}
	if c.HasSecrets() {
		t.Error("there is no password in it")
	}
	if c.Mail.Password = "x"; !c.HasSecrets() {
		t.Error("there is a password in it")
	}
}
