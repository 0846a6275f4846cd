package bench

import (
	"fmt"
	"strings"
	"time"
)

// program is the software that made a mail.
type program int

const (
	webmail  program = iota // a large provider's web mail
	exchange                // a groupware server and its client
	apple                   // a phone or desktop
	thunder                 // a free desktop program
	script                  // programs that send notices and newsletters
)

var programWeights = []int{34, 36, 16, 14}

// epoch is the time of the first mail; a mail comes every few minutes.
var epoch = time.Date(2024, 1, 8, 7, 0, 0, 0, time.UTC)

// envelope has the data from which the header of a mail is made.
type envelope struct {
	n           int // number of the mail
	when        time.Time
	from        string // with the name
	fromAddress string
	to, cc      []string
	subject     string
	id          string
	references  []string
	program     program
	list        *list
	bulk        *bulkSender
	ip          string
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// mailbox is a name and an address as a header has it.
func (b *builder) mailbox(p *person) string {
	name := p.name()
	if e := b.encoded(name); e != name {
		return e + " <" + p.address() + ">"
	}
	if p.program == exchange && b.chance(50) {
		return `"` + p.family + ", " + p.given + `" <` + p.address() + ">"
	}
	return name + " <" + p.address() + ">"
}

func date(t time.Time, zone int) string {
	return t.In(time.FixedZone("", zone*3600)).Format("Mon, 2 Jan 2006 15:04:05 -0700")
}

// head writes the header without the fields that describe the body.
func (b *builder) head(e *envelope) {
	zone := int(e.program)%4 - 1
	domain := domainOf(e.fromAddress)
	to := "user@" + domainOf(b.w.mx[0])
	var hops []string
	hops = append(hops, b.received(domain, pick(b.source, b.w.mx), to, e.when.Add(4*time.Second), 0))
	for range b.IntN(4) {
		hops = append(hops, b.received(pick(b.source, b.w.relays), pick(b.source, b.w.relays), to,
			e.when.Add(2*time.Second), b.IntN(5)))
	}
	for i, hop := range hops {
		b.WriteString(hop)
		if i == 0 {
			b.results(e, domain)
		}
	}
	if e.program == exchange || b.chance(25) {
		b.arc(e, domain)
	}
	if b.chance(82) {
		b.dkim(e, domain, pick(b.source, []string{"s1", "selector1", "20230601", "default", "k1", "mail"}), 256)
	}
	if e.bulk != nil {
		b.dkim(e, b.w.relays[0], "sel2", 128)
	}
	b.originator(e, zone)
	switch e.program {
	case exchange:
		b.groupware(e, domain)
	case webmail:
		b.line("X-Gm-Message-State: ", b.token(150))
		b.line("X-Google-Smtp-Source: ", b.token(110))
		b.line("X-Received: by 2002:a05:", b.hex(4), ":", b.hex(3), ":b0:", b.hex(3), ":", b.hex(4),
			" with SMTP id ", b.token(30), ";\r\n        ", date(e.when, -8))
	case apple:
		b.line("X-Mailer: Apple Mail (2.3774.", b.digits(3), ")")
	case thunder:
		b.line("User-Agent: Mozilla Thunderbird")
		b.line("Content-Language: en-US")
	}
	if e.list != nil {
		b.listFields(e.list)
	}
	if b.chance(55) {
		score := fmt.Sprintf("%d.%d", b.IntN(4), b.IntN(10))
		b.line("X-Spam-Status: No, score=", score,
			" required=5.0 tests=DKIM_SIGNED,DKIM_VALID,\r\n"+
				"\tHTML_MESSAGE,RCVD_IN_DNSWL_NONE,SPF_PASS autolearn=ham version=4.0.0")
		b.line("X-Spam-Score: ", score)
	}
}

// originator writes the fields of the author (RFC 5322 section 3.6).
func (b *builder) originator(e *envelope, zone int) {
	subject := func() { b.line("Subject: ", fold(b.encoded(e.subject))) }
	from := func() { b.line("From: ", e.from) }
	when := func() { b.line("Date: ", date(e.when, zone)) }
	id := func() { b.line("Message-ID: ", e.id) }
	to := func() {
		b.line("To: ", strings.Join(e.to, ",\r\n "))
		if len(e.cc) > 0 {
			b.line("Cc: ", strings.Join(e.cc, ",\r\n "))
		}
	}
	thread := func() {
		if len(e.references) > 0 {
			b.line("In-Reply-To: ", e.references[len(e.references)-1])
			b.line("References: ", strings.Join(e.references, "\r\n "))
		}
	}
	version := func() { b.line("MIME-Version: 1.0") }
	order := map[program][]func(){
		webmail:  {version, thread, from, when, id, subject, to},
		exchange: {from, to, subject, when, id, thread, version},
		apple:    {from, version, subject, id, thread, when, to},
		thunder:  {id, when, version, subject, to, thread, from},
		script:   {when, from, to, id, subject, version},
	}[e.program]
	for _, f := range order {
		f()
	}
}

// fold breaks a long field at a space.
func fold(text string) string {
	if len(text) < 70 || strings.Contains(text, "\r\n") {
		return text
	}
	if i := strings.LastIndexByte(text[:70], ' '); i > 0 {
		return text[:i] + "\r\n" + text[i:]
	}
	return text
}

func (b *builder) received(from, by, to string, when time.Time, style int) string {
	ip := fmt.Sprintf("%d.%d.%d.%d", pick(b.source, []int{192, 198, 203}), b.IntN(256), b.IntN(256), b.IntN(256))
	switch style {
	case 0:
		return fmt.Sprintf("Received: from %s (%s [%s])\r\n\t(using TLSv1.3 with cipher "+
			"TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519 server-signature "+
			"RSA-PSS (2048 bits) server-digest SHA256)\r\n\t(No client certificate requested)\r\n"+
			"\tby %s (Postfix) with ESMTPS id %s\r\n\tfor <%s>; %s\r\n",
			from, from, ip, by, b.queueID(), to, date(when, 1))
	case 1:
		return fmt.Sprintf("Received: from %s (%s. [%s])\r\n        by %s with ESMTPSA id %s\r\n"+
			"        for <%s>\r\n        (version=TLS1_3 cipher=TLS_AES_128_GCM_SHA256 "+
			"bits=128/128);\r\n        %s\r\n",
			from, from, ip, by, b.token(28), to, date(when, -8)+" (PST)")
	case 2:
		return fmt.Sprintf("Received: from %s (2603:10a6:%s::%s) by\r\n"+
			" %s (2603:10a6:%s::%s) with\r\n Microsoft SMTP Server (version=TLS1_2,\r\n"+
			" cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.%s.%s; %s +0000\r\n",
			strings.ToUpper(from), b.hex(3), b.hex(2), strings.ToUpper(by), b.hex(3), b.hex(2),
			b.digits(4), b.digits(2), when.Format("Mon, 2 Jan\r\n 2006 15:04:05"))
	case 3:
		return fmt.Sprintf("Received: from [%s] (helo=%s)\r\n\tby %s with esmtps  (TLS1.3) tls "+
			"TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n\t(envelope-from <bounce-%s@%s>)\r\n"+
			"\tid 1r%s-%s-0%s\r\n\tfor %s;\r\n\t%s\r\n",
			ip, from, by, b.digits(7), from, b.token(4), b.token(6), b.token(1), to, date(when, 0))
	}
	return fmt.Sprintf("Received: by %s (Postfix, from userid %d)\r\n\tid %s; %s\r\n", by, 33+
		b.IntN(1000), b.queueID(), date(when, 2))
}

func (b *builder) queueID() string {
	if b.chance(50) {
		return "4" + b.token(14) + "z" + b.token(3)
	}
	return strings.ToUpper(b.hex(11))
}

// results writes the receiving server's findings about the sender (RFC 8601).
func (b *builder) results(e *envelope, domain string) {
	if b.chance(85) {
		b.linef("Authentication-Results: %s;\r\n\tdkim=pass (2048-bit key; unprotected) "+
			"header.d=%s header.i=@%s header.a=rsa-sha256 header.s=%s header.b=%s;\r\n"+
			"\tdmarc=pass (p=%s) header.from=%s;\r\n\tspf=pass (%s: domain of %s designates %s "+
			"as permitted sender) smtp.mailfrom=%s",
			b.w.mx[0], domain, domain, "s1", b.token(8),
			pick(b.source, []string{"none", "quarantine", "reject"}), domain, b.w.mx[0],
			e.fromAddress, e.ip, e.fromAddress)
	}
	if b.chance(35) {
		b.linef("Received-SPF: Pass (%s: domain of %s designates %s as permitted sender) "+
			"receiver=%s; client-ip=%s; helo=%s;", b.w.mx[0], domain, e.ip, b.w.mx[0], e.ip, domain)
	}
}

func (b *builder) signature(n int) string {
	sig := b.b64(n)
	var out strings.Builder
	for len(sig) > 72 {
		out.WriteString(sig[:72] + "\r\n\t ")
		sig = sig[72:]
	}
	out.WriteString(sig)
	return out.String()
}

// dkim writes a signature (RFC 6376 section 3.5) with a key of that many bytes.
func (b *builder) dkim(e *envelope, domain, selector string, key int) {
	fields := pick(b.source, []string{
		"From:To:Subject:Date:Message-ID:MIME-Version:Content-Type",
		"from:to:subject:date:message-id:reply-to",
		"mime-version:references:in-reply-to:from:date:message-id:subject:to:cc",
		"Date:From:To:List-Unsubscribe:Subject:MIME-Version:Content-Type",
	})
	b.linef("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/%s; d=%s; s=%s;\r\n\tt=%d; h=%s;\r\n\tbh=%s;\r\n\tb=%s",
		pick(b.source, []string{"relaxed", "simple"}), domain, selector, e.when.Unix(), fields,
		b.b64(32), b.signature(key))
}

// arc writes a set of the chain (RFC 8617 section 4.1).
func (b *builder) arc(e *envelope, domain string) {
	b.linef("ARC-Seal: i=1; a=rsa-sha256; s=arcselector10001; d=%s; cv=none;\r\n b=%s", domain, b.signature(256))
	b.linef("ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=%s;\r\n"+
		" s=arcselector10001;\r\n"+
		" h=From:Date:Subject:Message-ID:Content-Type:MIME-Version:X-MS-Exchange-AntiSpam-Message"+
		"Data-ChunkCount:X-MS-Exchange-AntiSpam-MessageData-0;\r\n bh=%s;\r\n b=%s", domain,
		b.b64(32), b.signature(256))
	b.linef("ARC-Authentication-Results: i=1; %s 1; spf=pass smtp.mailfrom=%s; dmarc=pass "+
		"action=none\r\n header.from=%s; dkim=pass header.d=%s; arc=none", domain, domain, domain, domain)
}

// groupware writes the fields that a groupware server adds.
func (b *builder) groupware(e *envelope, domain string) {
	b.line("Thread-Topic: ", b.encoded(e.subject))
	b.line("Thread-Index: ", b.b64(22))
	b.line("Accept-Language: en-US, de-DE")
	b.line("Content-Language: en-US")
	b.line("X-MS-Has-Attach: ", pick(b.source, []string{"", "yes"}))
	b.line("X-MS-TNEF-Correlator:")
	b.line("x-originating-ip: [", e.ip, "]")
	b.line("x-ms-publictraffictype: Email")
	b.line("x-ms-traffictypediagnostic: ", strings.ToUpper(b.token(12)), ":EE_|", strings.ToUpper(b.token(14)), ":EE_")
	b.line("x-ms-office365-filtering-correlation-id: ", b.uuid())
	b.line("x-ms-exchange-senderadcheck: 1")
	b.line("x-ms-exchange-antispam-relay: 0")
	b.line("x-microsoft-antispam: BCL:0;ARA:13230040|", b.digits(6), "|376014|1800799024|366016|38070700018;")
	b.line("x-microsoft-antispam-message-info: ", b.signature(280))
	b.line("x-forefront-antispam-report: CIP:255.255.255.255;CTRY:;LANG:en;SCL:1;SRV:;IPV:NLI;"+
		"SFV:NSPM;H:", domain, ";PTR:;CAT:NONE;SFS:(13230040)(", b.digits(6), ")(376014);DIR:OUT;SFP:1102;")
	b.line("x-ms-exchange-antispam-messagedata-chunkcount: 1")
	b.line("x-ms-exchange-antispam-messagedata-0: ", b.signature(500))
	b.line("X-OriginatorOrg: ", domain)
	b.line("X-MS-Exchange-CrossTenant-AuthAs: Internal")
	b.line("X-MS-Exchange-CrossTenant-AuthSource: ", strings.ToUpper(b.token(14)), ".", domain)
	b.line("X-MS-Exchange-CrossTenant-Network-Message-Id: ", b.uuid())
	b.line("X-MS-Exchange-CrossTenant-id: ", b.uuid())
	b.line("X-MS-Exchange-Transport-CrossTenantHeadersStamped: ", strings.ToUpper(b.token(14)))
}

func (b *builder) listFields(l *list) {
	b.line("X-BeenThere: ", l.name, "@", l.domain)
	b.line("X-Mailman-Version: 2.1.39")
	b.line("Precedence: list")
	b.line("List-Id: ", l.title, " <", l.name, ".", l.domain, ">")
	b.line("List-Unsubscribe: <https://", l.host, "/mailman/options/", l.name, ">,\r\n <mailto:", l.name, "-request@", l.domain, "?subject=unsubscribe>")
	b.line("List-Archive: <https://", l.host, "/pipermail/", l.name, "/>")
	b.line("List-Post: <mailto:", l.name, "@", l.domain, ">")
	b.line("List-Help: <mailto:", l.name, "-request@", l.domain, "?subject=help>")
	b.line("List-Subscribe: <https://", l.host, "/mailman/listinfo/", l.name, ">,\r\n <mailto:", l.name, "-request@", l.domain, "?subject=subscribe>")
	b.line("Errors-To: ", l.name, "-bounces@", l.domain)
	b.line(`Sender: "`, l.name, `" <`, l.name, "-bounces@", l.domain, ">")
}
