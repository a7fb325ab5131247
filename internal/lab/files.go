package lab

import (
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "github.com/mattn/go-sqlite3" // the journal is an SQLite file

	"callrecordd/dialplan"
)

func randomHex() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails, see its documentation
	return hex.EncodeToString(b)
}

// writeFiles creates the instance's folders and every configuration file.
func (p *PBX) writeFiles() error {
	for _, d := range []string{"etc", "lib", "spool", "log", "keys/keys", "sounds", "moh"} {
		if err := os.MkdirAll(filepath.Join(p.Dir, d), 0o755); err != nil {
			return fmt.Errorf("create PBX folder: %w", err)
		}
	}
	if err := p.writeSounds(); err != nil {
		return err
	}
	files, err := p.files()
	if p.cfg.Stock {
		files, err = p.stockFiles()
	}
	if err != nil {
		return err
	}
	maps.Copy(files, p.cfg.ExtraFiles)
	for name, text := range files {
		path := filepath.Join(p.Dir, "etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write PBX configuration: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write PBX configuration: %w", err)
		}
	}
	if p.cfg.NoJournal {
		return nil
	}
	return createJournal(p.JournalPath)
}

// files returns the texts: what the lab needs itself, then the shipped
// snippets, which extend the sections before them.
func (p *PBX) files() (map[string]string, error) {
	c := p.cfg
	files := map[string]string{
		"asterisk.conf": p.asteriskConf(),
		"modules.conf":  modulesConf(p.install.ModuleDir, c),
		"logger.conf":   "[general]\ndateformat=%F %T.%3q\n[logfiles]\nfull => notice,warning,error,verbose(3)\n",
		"rtp.conf":      fmt.Sprintf("[general]\nrtpstart=%d\nrtpend=%d\nicesupport=no\n", p.ports.rtpStart(), p.ports.rtpEnd()),
		"pjsip.conf":    pjsipConf(c, p.SIPAddr, p.ports),
		"features.conf": "[general]\npickupexten=" + ExtenPickupGroup + "\natxferthreeway=" + FeatureThreeWay + "\n" +
			"[featuremap]\nblindxfer => " + FeatureBlind + "\natxfer => " + FeatureAttended + "\n[applicationmap]\n",
		"extensions.conf": "[globals]\n",
		"cel.conf":        "[general]\n",
		"indications.conf": "[general]\ncountry=us\n[us]\ndescription=US\nringcadence=2000,4000\ndial=350+440\n" +
			"busy=480+620/500,0/500\n" + fmt.Sprintf("ring=%.0f/2000,0/4000\n", RingHz) + "congestion=480+620/250,0/250\n",
		"queues.conf":      queuesConf(c),
		"voicemail.conf":   voicemailConf(c),
		"confbridge.conf":  "[general]\n[default_bridge]\ntype=bridge\n[default_user]\ntype=user\nquiet=yes\n",
		"musiconhold.conf": "[general]\n[default]\nmode=files\ndirectory=" + filepath.Join(p.Dir, "moh") + "\n",
		"res_parking.conf": "[general]\n[default]\nparkext=" + ExtenPark + "\nparkpos=701-720\ncontext=parkedcalls\n" +
			"parkingtime=45\nfindslot=first\ncomebacktoorigin=yes\nparkedcalltransfers=both\n",
	}
	// Some modules decline to load without a file (asterisk-facts 5).
	for _, name := range []string{"cdr.conf", "udptl.conf", "ccss.conf", "acl.conf", "stasis.conf", "sorcery.conf", "pjproject.conf", "websocket_client.conf", "queuerules.conf"} {
		files[name] = ""
	}
	for _, s := range dialplan.Snippets(dialplan.SnippetOptions{
		HTTPPort: p.ports.http(), ARIUser: userName, ARIPassword: c.ARIPassword,
		AMIPort: p.ports.ami(), AMIUser: userName, AMIPassword: c.AMIPassword,
		FeaturesPath: c.FeaturesPath,
	}) {
		files[s.File] += s.Text
	}
	files["extensions.conf"] += extensionsConf(c, p.Announcement()) + c.ExtraDialplan
	if c.AMIWrite != "" {
		const shipped = "write=system,call"
		if !strings.Contains(files["manager.conf"], shipped) {
			return nil, fmt.Errorf("restrict AMI to %q: the shipped manager.conf has no %q", c.AMIWrite, shipped)
		}
		files["manager.conf"] = strings.Replace(files["manager.conf"], shipped, "write="+c.AMIWrite, 1)
	}
	return files, nil
}

func (p *PBX) asteriskConf() string {
	in := func(d string) string { return filepath.Join(p.Dir, d) }
	var b strings.Builder
	b.WriteString("[directories]\n")
	for _, d := range [][2]string{
		{"astetcdir", in("etc")},
		{"astmoddir", p.install.ModuleDir},
		{"astvarlibdir", in("lib")},
		{"astdbdir", in("lib")},
		{"astkeydir", in("keys")},
		{"astdatadir", p.dataDir()},
		{"astagidir", in("lib")},
		{"astspooldir", in("spool")},
		{"astrundir", p.runDir},
		{"astlogdir", in("log")},
		{"astsbindir", in("lib")},
	} {
		b.WriteString(d[0] + " => " + d[1] + "\n")
	}
	b.WriteString("[options]\nverbose=3\nnocolor=yes\nlive_dangerously=no\n")
	if p.cfg.SystemName != "" {
		b.WriteString("systemname=" + p.cfg.SystemName + "\n")
	}
	return b.String()
}

// modulesConf loads what the lab needs and nothing else: with autoload a start
// takes several times as long. Names the installed release lacks are left out.
func modulesConf(moduleDir string, c Config) string {
	var text strings.Builder
	text.WriteString("[modules]\nautoload=no\n")
	for m := range strings.FieldsSeq(modules) {
		if slices.Contains(c.NoLoad, m+".so") {
			continue
		}
		if _, err := os.Stat(filepath.Join(moduleDir, m+".so")); err == nil {
			text.WriteString("load=" + m + ".so\n")
		}
	}
	return text.String()
}

const modules = `
	codec_ulaw codec_alaw codec_gsm codec_resample codec_a_mu
	format_wav format_wav_gsm format_gsm format_pcm format_sln
	bridge_simple bridge_softmix bridge_native_rtp bridge_holding
	bridge_builtin_features bridge_builtin_interval_features
	chan_pjsip chan_bridge_media res_pjproject res_sorcery_astdb res_sorcery_config
	res_sorcery_memory res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_registrar
	res_pjsip_endpoint_identifier_ip res_pjsip_endpoint_identifier_user
	res_pjsip_caller_id res_pjsip_diversion res_pjsip_refer res_pjsip_dtmf_info
	res_pjsip_empty_info res_pjsip_one_touch_record_info res_pjsip_logger
	res_pjsip_nat res_pjsip_rfc3326 res_pjsip_dlg_options res_pjsip_header_funcs
	res_pjsip_authenticator_digest res_pjsip_outbound_authenticator_digest
	res_pjsip_pubsub res_pjsip_outbound_publish res_pjsip_exten_state
	res_pjsip_dialog_info_body_generator
	res_rtp_asterisk res_timing_timerfd res_musiconhold res_parking res_crypto
	res_http_websocket res_websocket_client res_ari res_ari_applications res_ari_asterisk
	res_ari_bridges res_ari_channels res_ari_device_states res_ari_endpoints
	res_ari_events res_ari_model res_ari_playbacks res_ari_recordings res_ari_sounds
	res_stasis res_stasis_answer res_stasis_device_state res_stasis_playback
	res_stasis_recording res_stasis_snoop
	app_dial app_queue app_voicemail app_confbridge app_mixmonitor app_playback
	app_echo app_stasis app_userevent app_stack app_verbose app_bridgewait
	app_directed_pickup app_page app_exec app_softhangup app_transfer
	app_channelredirect app_originate app_read app_sayunixtime app_chanspy
	app_senddtmf app_dumpchan app_while app_record app_milliwatt app_cdr app_playtones
	app_controlplayback app_blind_transfer app_attended_transfer app_bridgeaddchan
	app_db app_waitforsilence
	func_callerid func_channel func_timeout func_global func_cut func_logic
	func_strings func_math func_devstate func_db func_cdr func_env func_hangupcause
	func_dialplan func_md5 func_rand func_uri func_groupcount func_base64 func_volume
	res_manager_devicestate func_pjsip_endpoint func_pjsip_aor func_pjsip_contact func_extstate func_module
	pbx_config res_cdrel_custom cel_sqlite3_custom`

// createJournal makes the CEL journal the way setup does (asterisk-facts 4).
func createJournal(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		return fmt.Errorf("create journal: %w", err)
	}
	defer func() { _ = db.Close() }()
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	schema := dialplan.JournalSchema() + fmt.Sprintf("PRAGMA user_version=%d;", binary.LittleEndian.Uint32(id[:])>>1|1)
	if _, err := db.Exec(schema); err != nil {
		return fmt.Errorf("create journal %s: %w", path, err)
	}
	return nil
}
