package lab

import (
	"fmt"
	"net"
	"strings"

	"callrecordd/dialplan"
)

// trunkIP is where the provider of the trunk with that index lives. The PBX
// knows providers by their address; telephones, at 127.0.0.1, by their name.
func trunkIP(index int) string { return fmt.Sprintf("127.0.0.%d", index+2) }

// commonEndpoint: the three addresses keep Asterisk from looking up the
// machine's name on every call (asterisk-facts 7).
const commonEndpoint = `disallow=all
allow=ulaw,alaw
dtmf_mode=rfc4733
direct_media=no
rtp_symmetric=yes
timers=no
moh_suggest=default
allow_subscribe=yes
from_domain=127.0.0.1
media_address=127.0.0.1
bind_rtp_to_media_address=yes
`

func pjsipConf(c Config, addr string, ports portSlot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[global]\ntype=global\nendpoint_identifier_order=ip,username\n"+
		"[transport-udp]\ntype=transport\nprotocol=udp\nbind=%s\n", addr)
	for _, u := range c.Users {
		name := strings.ToUpper(u.Name[:1]) + u.Name[1:]
		fmt.Fprintf(&b, "\n[%[1]s]\ntype=endpoint\ncontext=%[2]s\naors=%[1]s\ncallerid=\"%[3]s\" <%[4]s>\n"+
			"mailboxes=%[4]s@default\ncall_group=1\npickup_group=1\n%[5]s%[6]s\n"+
			"[%[1]s]\ntype=aor\nmax_contacts=1\nremove_existing=yes\nqualify_frequency=0\n",
			u.Name, ContextUsers, name, u.Number, commonEndpoint, strings.Join(u.PJSIP, "\n"))
	}
	for i, t := range c.Trunks {
		fmt.Fprintf(&b, "\n[%[1]s]\ntype=endpoint\ncontext=%[2]s\naors=%[1]s\ntrust_id_inbound=yes\n%[3]s"+
			"[%[1]s]\ntype=aor\ncontact=sip:%[4]s:%[5]d\nqualify_frequency=0\n"+
			"[%[1]s-identify]\ntype=identify\nendpoint=%[1]s\nmatch=%[4]s/32\n",
			t, ContextTrunk, commonEndpoint, trunkIP(i), ports.trunk(i))
	}
	return b.String()
}

// extensionsConf is the dialplan behind the globals. The constants in
// config.go say what each extension is for.
func extensionsConf(c Config, announcement string) string {
	const options = "60,tT"
	var b strings.Builder
	add := func(exten string, apps ...string) {
		for i, app := range apps {
			if i == 0 {
				fmt.Fprintf(&b, "exten => %s,1,%s\n", exten, app)
			} else {
				fmt.Fprintf(&b, " same => n,%s\n", app)
			}
		}
	}
	dial := func(to string) []string { return []string{"Dial(" + to + "," + options + ")", "Hangup()"} }
	bob, carol := c.Users[1], c.Users[2]
	both := "PJSIP/" + bob.Name + "&PJSIP/" + carol.Name
	b.WriteString("\n[" + ContextUsers + "]\ninclude => parkedcalls\ninclude => " + dialplan.FeaturesContext + "\n")
	for _, u := range c.Users {
		add(u.Number, dial("PJSIP/"+u.Name)...)
		fmt.Fprintf(&b, "exten => %s,hint,PJSIP/%s\n", u.Number, u.Name)
		add(PrefixPickup+u.Number, "PickupChan(PJSIP/"+u.Name+")", "Hangup()")
	}
	add(ExtenGroup, dial(both)...)
	add(ExtenQueue, "Answer()", "Queue("+QueueName+",tT,,,60)", "Hangup()")
	add(ExtenConference, "Answer()", "ConfBridge(lab,default_bridge,default_user)", "Hangup()")
	add(ExtenPage, "Page("+both+",s)", "Hangup()")
	add(ExtenIVR, "Answer()", "Background("+announcement+")", "WaitExten(30)", "Hangup()")
	add("1", "Goto("+bob.Number+",1)")
	add("i", "WaitExten(30)", "Hangup()") // who presses something else in the menu may try again
	add(ExtenMusic, "Answer()", "MusicOnHold()", "Hangup()")
	add(ExtenEarly, "Progress()", "Playback("+announcement+",noanswer)", "Dial(PJSIP/"+bob.Name+","+options+")", "Hangup()")
	add(ExtenEcho, "Answer()", "Echo()", "Hangup()")
	add(ExtenNoAnswer, "Dial(PJSIP/"+bob.Name+",3,tT)", "VoiceMail("+bob.Number+"@default,s)", "Hangup()")
	add(ExtenVoicemail, "VoiceMail("+bob.Number+"@default,s)", "Hangup()")
	add(ExtenBusy, "Busy(10)")
	add(ExtenLocal, dial("Local/"+bob.Number+"@"+ContextUsers)...)
	add(ExtenForward, append([]string{"Set(REDIRECTING(from-num)=${EXTEN})", "Set(REDIRECTING(reason)=cfu)"},
		dial("Local/"+bob.Number+"@"+ContextUsers+"/n")...)...)
	if len(c.Trunks) > 0 {
		add("_"+PrefixOut+"X.", dial("PJSIP/${EXTEN:1}@"+c.Trunks[0])...)
	}
	b.WriteString("\n[" + ContextTrunk + "]\n")
	for _, u := range c.Users {
		add(PrefixDID+u.Number, dial("PJSIP/"+u.Name)...)
	}
	for _, exten := range []string{ExtenGroup, ExtenQueue, ExtenConference, ExtenIVR} {
		add(PrefixDID+exten, "Goto("+ContextUsers+","+exten+",1)")
	}
	return b.String()
}

func queuesConf(c Config) string {
	var b strings.Builder
	b.WriteString("[general]\npersistentmembers=no\nautofill=yes\n[" + QueueName + "]\n" +
		"strategy=ringall\ntimeout=30\nretry=1\nmusicclass=default\nringinuse=no\njoinempty=yes\nleavewhenempty=no\n")
	for _, u := range c.Users[1:3] {
		b.WriteString("member => PJSIP/" + u.Name + "\n")
	}
	return b.String()
}

func voicemailConf(c Config) string {
	var b strings.Builder
	b.WriteString("[general]\nformat=wav\nmaxsilence=2\nminsecs=3\n[default]\n")
	for _, u := range c.Users {
		b.WriteString(u.Number + " => 1234," + u.Name + "\n")
	}
	return b.String()
}

// hostPort splits an address that we made ourselves.
func hostPort(addr string) (ip string, port int, err error) {
	a, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return "", 0, fmt.Errorf("read address %q: %w", addr, err)
	}
	return a.IP.String(), a.Port, nil
}
