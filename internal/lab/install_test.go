package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestEnsureAgain needs no network the second time.
func TestEnsureAgain(t *testing.T) {
	first := install(t)
	if again := install(t); again.Version != first.Version || again.ModuleDir != first.ModuleDir {
		t.Errorf("second run returned %+v, first %+v", again, first)
	}
}

func TestEnsureHonoursContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Ensure(ctx, EnsureOptions{CacheDir: t.TempDir(), Unpacked: true}); err == nil {
		t.Error("an ended context gave an Asterisk")
	}
}

func TestDebianSources(t *testing.T) {
	etc := t.TempDir()
	must(t, os.Mkdir(filepath.Join(etc, "sources.list.d"), 0o755))
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(etc, name), []byte(text), 0o600)) }
	if _, err := debianSources(etc); !errors.Is(err, errNoMirror) {
		t.Errorf("no sources: %v", err)
	}
	write("sources.list", "# deb http://no.example/debian sid main\n"+
		"deb http://security.example/debian-security bookworm-security main\n"+
		"deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] http://one.example/debian bookworm main contrib # x\n"+
		"deb-src http://src.example/debian sid main\n")
	write("sources.list.d/other.list", "deb https://other.example stable main\n")
	write("sources.list.d/debian.sources", "Types: deb\nURIs: http://two.example/debian/\nSuites: sid\nComponents: main\n"+
		"Signed-By: /k/debian-archive-keyring.gpg\n\nEnabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n")
	got, err := debianSources(etc)
	must(t, err)
	var uris []string
	for _, s := range got {
		uris = append(uris, s.URI)
		if s.SignedBy != "/k/debian-archive-keyring.gpg" {
			t.Errorf("%s is signed by %q", s.URI, s.SignedBy)
		}
	}
	if len(uris) != 2 || uris[0] != "http://one.example/debian" || uris[1] != "http://two.example/debian/" {
		t.Errorf("sources %v", uris)
	}
}
