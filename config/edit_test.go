package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSetKeys(t *testing.T) {
	values := map[string]string{"ari_password": "", "ari_password_file": "/etc/x/ari", "ami_password_file": "/etc/x/ami", "ami_password": ""}
	for name, c := range map[string][2]string{
		"empty":         {"", "asterisk:\n  ami_password_file: /etc/x/ami\n  ari_password_file: /etc/x/ari\n"},
		"no last break": {"log:\n  level: info", "log:\n  level: info\nasterisk:\n  ami_password_file: /etc/x/ami\n  ari_password_file: /etc/x/ari\n"},
		"in the middle": {
			"# top\nasterisk:\n    # why\n    ari_password: \"\"\n    ari_user: a # b\n\nlog:\n    ari_password: x\n",
			"# top\nasterisk:\n    ami_password_file: /etc/x/ami\n    ari_password_file: /etc/x/ari\n    # why\n    # ari_password: \"\"\n    ari_user: a # b\n\nlog:\n    ari_password: x\n",
		},
	} {
		if got := SetKeys(c[0], "asterisk", values); got != c[1] {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestSetKeysOfSample sees that the sample works after the change, and that a
// second one changes nothing.
func TestSetKeysOfSample(t *testing.T) {
	dir := t.TempDir()
	values := map[string]string{"ari_password": "", "ami_password": "", "ari_url": "http://127.0.0.1:8099"}
	for _, key := range []string{"ari_password_file", "ami_password_file"} {
		values[key] = filepath.Join(dir, key)
		if err := os.WriteFile(values[key], []byte("secret-"+key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := SetKeys(Sample(), "asterisk", values)
	path := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Asterisk.ARIPassword.Reveal() != "secret-ari_password_file" || cfg.Asterisk.ARIURL != "http://127.0.0.1:8099" {
		t.Errorf("%+v", cfg.Asterisk)
	}
	if SetKeys(text, "asterisk", values) != text {
		t.Error("a second change changes something")
	}
	if !strings.Contains(text, "# The password") && strings.Count(text, "\n") < strings.Count(Sample(), "\n") {
		t.Error("comments are lost")
	}
}
