package webhook

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestWaitDoublesUpToAQuarterOfAnHour(t *testing.T) {
	for attempt, most := range map[int]time.Duration{
		0: maxWait, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 10: 512 * time.Second, 11: maxWait, 64: maxWait, 100: maxWait,
	} {
		if least := wait(attempt, 0); least != most/2 {
			t.Errorf("attempt %d: at least %s, want %s", attempt, least, most/2)
		}
		if got := wait(attempt, 1); got != most {
			t.Errorf("attempt %d: at most %s, want %s", attempt, got, most)
		}
	}
}

// TestSign has a signature that was made with another program.
func TestSign(t *testing.T) {
	got, err := Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%s %v", got, err)
	}
	if _, err := Sign("whsec_%", "id", time.Unix(0, 0), nil); err == nil {
		t.Error("a secret that is none signs")
	}
	if a, b := NewSecret(), NewSecret(); a == b || len(a) < 40 {
		t.Errorf("secrets %s %s", a, b)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]struct{ strict, allowed bool }{
		"93.184.216.34": {true, true}, "2606:4700::1": {true, true}, "64:ff9b::5db8:d822": {true, true},
		"127.0.0.1": {false, true}, "127.9.9.9": {false, true}, "::1": {false, true}, "::ffff:127.0.0.1": {false, true},
		"10.1.2.3": {false, true}, "172.31.0.1": {false, true}, "192.168.1.1": {false, true}, "100.64.0.1": {false, true},
		"fd00::1": {false, true}, "64:ff9b::7f00:1": {false, true}, "2002:7f00:1::": {false, true}, "2002:a00:1::1": {false, true},
		"0.0.0.0": {}, "::": {}, "0.1.2.3": {}, "169.254.169.254": {}, "::ffff:169.254.169.254": {}, "fe80::1": {}, "fe80::1%eth0": {},
		"64:ff9b:1::a9fe:a9fe": {false, true}, "64:ff9b:1:ffff::7f00:1": {false, true}, "::ffff:0:127.0.0.1": {false, true}, "::ffff:0:169.254.169.254": {},
		"2001:0:7f00:1::": {}, "168.63.129.16": {}, "fd20:ce::254": {}, "::ffff:168.63.129.16": {},
		"fd00:ec2::254": {}, "100.100.100.200": {}, "64:ff9b::a9fe:a9fe": {}, "2002:a9fe:a9fe::": {},
		"224.0.0.1": {}, "255.255.255.255": {}, "240.0.0.1": {}, "ff02::1": {}, "::7f00:1": {}, "192.0.0.170": {},
	} {
		addr := netip.MustParseAddr(text)
		for allow, ok := range map[bool]bool{false: want.strict, true: want.allowed} {
			if err := checkAddress(addr, allow); (err == nil) != ok || err != nil && !errors.Is(err, ErrAddress) {
				t.Errorf("%s, private allowed %t: %v", text, allow, err)
			}
		}
	}
}

func TestCheckURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://example.com/x?y=z": true, "http://93.184.216.34:8080": true, "https://[2606:4700::1]/": true, "http://localhost": true, // known when it is dialled
		"": false, "example.com": false, "ftp://example.com": false, "https:///x": false, "https://a:b@example.com": false, "file:///etc/passwd": false,
		"http://127.0.0.1/": false, "http://[::1]:80": false, "http://169.254.169.254/latest": false, "https://example.com/{{ event }}": false, "http://exa mple": false,
	} {
		if err := CheckURL(text, false); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := CheckURL("http://127.0.0.1/", true); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{"https://example.com", "http://[::1%25lo]", "http://127.1", "http://0x7f.1/", "https://a:b@c", "http://[::ffff:10.0.0.1]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strict, lax := CheckURL(text, false), CheckURL(text, true); strict == nil && lax != nil {
			t.Errorf("%q is right only if less is allowed: %v", text, lax)
		}
	})
}
