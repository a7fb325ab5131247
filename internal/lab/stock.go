package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
)

// stockFiles returns the texts of a PBX with the release's own configuration.
func (p *PBX) stockFiles() (map[string]string, error) {
	if p.install.Root == "" {
		return nil, errors.New("start PBX from a stock configuration: this Asterisk was not unpacked from packages")
	}
	files := map[string]string{}
	dir := filepath.Join(p.install.Root, "etc", "asterisk")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the stock configuration: %w", err)
	}
	own, err := p.files()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"asterisk.conf", "logger.conf", "rtp.conf", "pjsip.conf"} {
		files[name] = own[name]
	}
	files["extensions.conf"] += extensionsConf(p.cfg, p.Announcement())
	_, port, err := net.SplitHostPort(p.AMIAddr)
	if err != nil {
		return nil, fmt.Errorf("find the manager's port: %w", err)
	}
	files["manager.conf"] = regexp.MustCompile(`(?m)^port = \d+`).ReplaceAllString(files["manager.conf"], "port = "+port)
	maps.DeleteFunc(files, func(name, _ string) bool { return filepath.Ext(name) != ".conf" })
	return files, nil
}
