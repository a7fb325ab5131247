package cdr

// shapes is what the CDR of each testdata/*.jsonl says, as brief renders it.
func shapes() map[string]string {
	return map[string]string{
		"blind_transfer": `internal answered tenant-1 answer 2005 end 22020
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Carol|2003 internal 2003@users u-carol map[type:user user_name:Carol C user_uuid:u-carol]
source u-alice answered true requested false
destination u-bob answered true requested true
destination u-carol answered true requested false
`,
		"busy": `internal unknown tenant-1 answer - end 106
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Bob|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
source u-alice answered false requested false
destination u-bob answered false requested true
`,
		"conference": `internal answered tenant-1 answer 4 end 15013
source Alice|2001 internal Alice|2001@users u-alice
requested |8000@users internal @ 
destination 8000|8000 internal @  map[conference_id:8000 type:conference]
source u-alice answered true requested false
destination u-bob answered true requested false
`,
		"feature_code": `internal unknown tenant-1 answer - end 3002
source Alice|2001 internal Alice|2001@users u-alice
requested |*26@users internal @ 
destination |*26 internal @  map[type:unknown]
source u-alice answered false requested false
`,
		"forward_external": `internal answered tenant-1 answer 4015 end 13028
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination |0987654321 internal @  map[type:unknown]
source u-alice answered true requested false
destination u-bob answered false requested true
`,
		"group": `internal answered tenant-1 answer 4008 end 14014
source Alice|2001 internal Alice|2001@users u-alice
requested Sales|2500@users internal 2500@users 
destination Sales|2500 internal 2003@users u-carol map[group_id:5 group_label:Sales type:group]
source u-alice answered true requested false
destination u-bob answered false requested false
destination u-carol answered true requested false
`,
		"incoming": `inbound answered tenant-1 answer 2005 end 22011
source Customer|0123456789 internal Customer|@ 
requested Bob|5551000@from-trunk internal 2002@users u-bob
destination Bob|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
destination u-bob answered true requested true
`,
		"internal_answered": `internal answered tenant-1 answer 2505 end 12511
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Bob|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
source u-alice answered true requested false
destination u-bob answered true requested true
`,
		"internal_unanswered": `internal unknown tenant-1 answer - end 30006
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Bob|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
source u-alice answered false requested false
destination u-bob answered false requested true
`,
		"local_chain": `internal answered tenant-1 answer 2012 end 10127
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Bob|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
source u-alice answered true requested false
destination u-bob answered true requested true
`,
		"originate": `internal answered tenant-1 answer 7010 end 17024
source Alice|2001 internal Alice|2001@users u-alice
requested |@ internal @ 
destination Bob|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
source u-alice answered true requested false
destination u-bob answered true requested false
`,
		"outgoing": `outbound answered tenant-1 answer 3005 end 18011
source Acme|5551000 internal Alice|2001@users u-alice
requested |0987654321@users internal @ 
destination |0987654321 internal @  map[type:unknown]
source u-alice answered true requested false
`,
		"pickup": `internal answered tenant-1 answer 31 end 431
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Carol C|2003 internal 2003@users u-carol map[type:user user_name:Carol C user_uuid:u-carol]
source u-alice answered true requested false
destination u-bob answered false requested true
destination u-carol answered true requested false
`,
		"pickup_late": `internal answered tenant-1 answer 36 end 441
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Carol C|2003 internal 2003@users u-carol map[type:user user_name:Carol C user_uuid:u-carol]
source u-alice answered true requested false
destination u-bob answered false requested true
destination u-carol answered true requested false
`,
		"queue": `inbound answered tenant-1 answer 5016 end 35022
source Customer|0123456789 internal Customer|@ 
requested Support|3000@users internal 3000@users 
destination Carol C|2003 internal 2003@users u-carol map[type:unknown]
destination u-bob answered false requested false
destination u-carol answered true requested false
`,
		"rejected": `internal unknown tenant-1 answer - end 3006
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Bob|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
source u-alice answered false requested false
destination u-bob answered false requested true
`,
		"unregistered": `internal unknown tenant-1 answer - end 4
source Alice|2001 internal Alice|2001@users u-alice
requested Bob B|2002@users internal 2002@users u-bob
destination Bob B|2002 internal 2002@users u-bob map[type:user user_name:Bob B user_uuid:u-bob]
source u-alice answered false requested false
destination u-bob answered false requested true
`,
		"voicemail": `internal voicemail tenant-1 answer - end 20009
source Alice|2001 internal Alice|2001@users u-alice
requested Bob|2002@users internal 2002@users u-bob
destination Bob|2002 internal 2002@users u-bob map[type:voicemail voicemail_name:2002@default]
source u-alice answered false requested false
destination u-bob answered false requested true
`,
	}
}

// shapeTalks are the legs with which the talks of each shape begin: name, role
// and via, nearest dial first. Shapes without an entry's lines have no talk.
func shapeTalks() map[string][]string {
	return map[string][]string{
		"blind_transfer":      {"PJSIP/alice caller, PJSIP/bob peer < 2002@users", "PJSIP/alice caller, PJSIP/carol peer < 2003@users"},
		"busy":                nil,
		"conference":          nil,
		"feature_code":        nil,
		"forward_external":    {"PJSIP/alice caller, PJSIP/trunk peer < 0987654321@users < 2002@users"},
		"group":               {"PJSIP/alice caller, PJSIP/carol peer < 2500@users"},
		"incoming":            {"PJSIP/trunk caller, PJSIP/bob peer < s@did-bob"},
		"internal_answered":   {"PJSIP/alice caller, PJSIP/bob peer < 2002@users"},
		"internal_unanswered": nil,
		"local_chain":         {"PJSIP/alice caller, PJSIP/bob peer < 2002@users < 2002@users"},
		"originate":           {"PJSIP/alice peer < 2001@users, PJSIP/bob peer < 2002@users"},
		"outgoing":            {"PJSIP/alice caller, PJSIP/trunk peer < 0987654321@users"},
		"pickup":              {"PJSIP/alice caller, PJSIP/carol peer"},
		"pickup_late":         {"PJSIP/alice caller, PJSIP/carol peer"},
		"queue":               {"PJSIP/trunk caller, PJSIP/carol peer <support 3000@users"},
		"rejected":            nil,
		"snoop":               nil,
		"unregistered":        nil,
		"voicemail":           nil,
	}
}
