package lab

import "testing"

// Two users, or two folders for temporary files, once meant two sets of locks,
// and two PBXs on the same ports.
func TestPortsAreTakenOnceWhoeverAsks(t *testing.T) {
	first, err := takePorts()
	must(t, err)
	defer first.release()
	t.Setenv("TMPDIR", t.TempDir())
	second, err := takePorts()
	must(t, err)
	defer second.release()
	if first.base == second.base {
		t.Errorf("both have the ports from %d", first.base)
	}
}
