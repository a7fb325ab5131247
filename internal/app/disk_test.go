package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestFilesOfAHangingDiskAreUnknown(t *testing.T) {
	dir := t.TempDir()
	there, stuck := filepath.Join(dir, "there"), filepath.Join(dir, "stuck")
	if err := os.WriteFile(there, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDisk()
	sizes, failed := d.sizes(map[string]string{"a": there, "b": filepath.Join(dir, "none"), "c": there + "/below"})
	if len(sizes) != 2 || sizes["a"] != 5 || sizes["c"] != -1 || len(failed) != 1 {
		t.Errorf("%v %v", sizes, failed)
	}
	release, left := make(chan struct{}), make(chan struct{})
	d.stat = func(path string) (fs.FileInfo, error) {
		if path == stuck {
			<-release
			defer close(left)
		}
		return os.Stat(path)
	}
	for range 2 { // the second time the first look still hangs
		sizes, failed = d.sizes(map[string]string{"s": stuck})
		if sizes["s"] != -1 || !errors.Is(failed["s"], errDiskHangs) {
			t.Errorf("%v %v", sizes, failed)
		}
	}
	if text := d.lackOf(dir); !strings.Contains(text, "cannot be looked at") {
		t.Error(text)
	}
	close(release)
	<-left
	for d.busy.Load() {
		runtime.Gosched()
	}
	if text := d.lackOf(dir); text != "" {
		t.Error(text)
	}
	if text := d.lackOf(filepath.Join(dir, "none")); !strings.Contains(text, "does not exist") || !strings.Contains(text, "create it") {
		t.Error(text)
	}
}

func TestOnlyVariablesOfRecordersAreMarks(t *testing.T) {
	const id = "bee69e09-12e5-4e75-8804-bc01d4931c41"
	if uuid, mix, ok := parseMark("CALLRECORD_bee69e09_12e5_4e75_8804_bc01d4931c41=0x7f52"); !ok || uuid != id || mix != "0x7f52" {
		t.Error(uuid, mix, ok)
	}
	for _, s := range []string{
		"", "CALLRECORD_", "CALLRECORD_USER=5", "CALLRECORD_bee69e09_12e5_4e75_8804_bc01d4931c41=",
		"XCALLRECORD_bee69e09_12e5_4e75_8804_bc01d4931c41=0x1",
	} {
		if _, _, ok := parseMark(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
	s := &sink{root: "/r"}
	if tenant, ok := s.tenantOf("/r/"+id+"/monitor/"+id+".wav", id); !ok || tenant != id {
		t.Error(tenant, ok)
	}
	for _, file := range []string{"", "/r/x/monitor/" + id + ".wav", "/other/" + id + "/monitor/" + id + ".wav", "/r/" + id + "/monitor/other.wav"} {
		if _, ok := s.tenantOf(file, id); ok {
			t.Errorf("%q is taken", file)
		}
	}
}
