package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"callrecordd/internal/bench/load"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
)

// mediaSize is the file that is downloaded, in bytes: three and a half hours of
// a telephone call.
const mediaSize = 100 << 20

// media downloads a recording from the daemon, and the same file from Debian's
// nginx, in turn. The file has been read before: what is compared is the way
// from the page cache to the client.
func media(ctx context.Context, s *suite) (err error) {
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	ours, file, err := s.oneRecording(ctx, t)
	if err != nil {
		return err
	}
	if err := fill(file, mediaSize); err != nil {
		return err
	}
	theirs, stop, err := startNginx(ctx, t.dir, file)
	if err != nil {
		s.add(Figure{Group: "media", Name: "download", Unit: "MB/s", Missing: "no nginx to compare with: " + err.Error()})
		return nil
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, clients := range []int{1, 32} {
		if err := s.downloads(ctx, clients, ours, theirs); err != nil {
			return err
		}
	}
	return nil
}

// downloads adds the figure for that many clients at once.
func (s *suite) downloads(ctx context.Context, clients int, ours, theirs target) error {
	each := either(s, max(1, 64/clients), 1)
	var r ratios
	for round := range either(s, 7, 2) + 1 {
		var speed [2]float64
		for i, from := range []target{ours, theirs} {
			var err error
			if speed[i], err = from.download(ctx, clients, each); err != nil {
				return err
			}
		}
		if round > 0 { // the first warms everything up
			r.add(speed[0], speed[1])
		}
	}
	f := Figure{
		Group: "media", Name: fmt.Sprintf("download of 100 MB, %d at once", clients), Value: median(r.with), Unit: "MB/s",
		N: len(r.ratio) * clients * each, Note: "the ratio is the median of the rounds' ratios",
	}.against(median(r.without), "nginx")
	f.Ratio = median(r.ratio)
	s.add(f.bar("≥ 0.9", f.Ratio >= 0.9))
	return nil
}

// oneRecording has a call recorded and returns where it can be downloaded, and
// its file.
func (s *suite) oneRecording(ctx context.Context, t *site) (target, string, error) {
	t.run(ctx, load.Plan{Rate: 1, Calls: 1, Talk: time.Second})
	if err := t.waitQuiet(ctx, 1); err != nil {
		return target{}, "", err
	}
	list, err := t.recordings(ctx)
	if err != nil {
		return target{}, "", err
	}
	if len(list) != 1 {
		return target{}, "", fmt.Errorf("there are %d recordings of one call", len(list))
	}
	id, err := t.number(ctx, "SELECT max(id) FROM cdrs")
	if err != nil {
		return target{}, "", err
	}
	var token control.NewToken
	var status struct {
		Addresses []string `json:"addresses"`
	}
	if err := errors.Join(
		t.ctl.Do(ctx, "POST", "tokens", control.TokenRequest{Description: "bench", ACL: []string{"call-logd.#"}}, &token),
		t.ctl.Do(ctx, "GET", "status", nil, &status),
	); err != nil {
		return target{}, "", fmt.Errorf("prepare downloads: %w", err)
	}
	for _, rec := range list {
		path := fmt.Sprintf("/1.0/cdr/%d/recordings/%s/media", id, rec.uuid)
		return target{status.Addresses[0], path, token.Secret}, t.path(rec), nil
	}
	return target{}, "", nil
}

// fill makes a file that large, of bytes that are not all the same, without
// changing who it belongs to.
func fill(path string, size int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("make a large recording: %w", err)
	}
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for range size / len(block) {
		if _, err := f.Write(block); err != nil {
			return errors.Join(fmt.Errorf("make a large recording: %w", err), f.Close())
		}
	}
	return f.Close()
}

// target is a file on a server.
type target struct{ address, path, token string }

// download has so many clients load the file so many times each, and returns
// the speed of all together in MB/s. A client only reads what comes, so that it
// costs both servers the same and little.
func (g target) download(ctx context.Context, clients, times int) (float64, error) {
	start := time.Now()
	errs := make([]error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { errs[i] = g.client(ctx, times) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("download from %s: %w", g.address, err)
	}
	return float64(clients*times) * mediaSize / 1e6 / time.Since(start).Seconds(), nil
}

func (g target) client(ctx context.Context, times int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", g.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	in, sink := bufio.NewReaderSize(conn, 4096), make([]byte, 256<<10)
	for range times {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench\r\nX-Auth-Token: %s\r\n\r\n", g.path, g.token)
		left, err := headerOf(in)
		if err != nil {
			return err
		}
		n, err := io.CopyN(io.Discard, in, min(left, int64(in.Buffered())))
		for left -= n; err == nil && left > 0; left -= n {
			var m int
			m, err = conn.Read(sink[:min(left, int64(len(sink)))])
			n = int64(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// headerOf reads the head of an answer that must be a success and returns the
// length of its body.
func headerOf(in *bufio.Reader) (length int64, err error) {
	status, err := in.ReadString('\n')
	if err != nil || !strings.Contains(status, " 200 ") {
		return 0, fmt.Errorf("answer %q: %w", status, errors.Join(err, errors.New("no download")))
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "" && length == mediaSize:
			return length, nil
		case name == "":
			return 0, fmt.Errorf("the answer has %d bytes, the file %d", length, mediaSize)
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
				return 0, err
			}
		}
	}
}

// startNginx serves the file as Debian's nginx does when it is installed:
// sendfile, a worker for each processor.
func startNginx(ctx context.Context, dir, file string) (target, func() error, error) {
	command, err := lab.Nginx(ctx, lab.EnsureOptions{})
	if err != nil {
		return target{}, nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return target{}, nil, fmt.Errorf("find a port for nginx: %w", err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return target{}, nil, fmt.Errorf("find a port for nginx: %w", err)
	}
	own := filepath.Join(dir, "nginx")
	conf := filepath.Join(own, "nginx.conf")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // the folders are ours alone
	}
	var text strings.Builder
	text.WriteString(user + "daemon off;\nworker_processes auto;\npid " + own + "/pid;\nerror_log " + own + "/error.log;\n" +
		"events { worker_connections 768; }\nhttp {\n sendfile on;\n tcp_nopush on;\n types_hash_max_size 2048;\n" +
		" default_type audio/wav;\n access_log off;\n")
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text.WriteString(" " + temp + "_temp_path " + own + "/" + temp + ";\n")
	}
	text.WriteString(" server { listen " + address + "; root " + filepath.Dir(file) + "; }\n}\n")
	if err := errors.Join(os.MkdirAll(own, 0o755), os.WriteFile(conf, []byte(text.String()), 0o600)); err != nil {
		return target{}, nil, fmt.Errorf("configure nginx: %w", err)
	}
	args := append(command[1:len(command):len(command)], "-p", own, "-e", own+"/error.log", "-c", conf)
	cmd := exec.Command(command[0], args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return target{}, nil, fmt.Errorf("start nginx: %w", err)
	}
	stop := func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it ends by the signal
		return err
	}
	g := target{address: address, path: "/" + filepath.Base(file)}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := eventually(wait, func() error { return g.client(wait, 1) }); err != nil {
		return target{}, nil, errors.Join(fmt.Errorf("nginx does not serve: %w", err), stop())
	}
	return g, stop, nil
}
