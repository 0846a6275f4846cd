package bench

import "strings"

// A language has the function words, which every text has, and the syllables from which each world
// builds its own content words.
type language struct {
	code      string
	charset   string // of older mail programs
	function  []string
	onsets    []string
	nuclei    []string
	codas     []string
	wrote     string // attribution of a quote; DATE and NAME are replaced
	greetings []string
	closings  []string
}

var languages = []language{
	{
		code: "en", charset: "iso-8859-1",
		function: strings.Fields(`the of and to a in that is was he for it with as his on be at by I this had not are but from
or have an they which one you were her all she there would their we him been has when who will more no if out so
said what up its about into than them can only other new some could time these two may then do first any my now
such like our over me even most made after also did many before must through back years where much your way well
down should because each just those people how too little good very make world still own see men work long get
here between both life being under never day same another know while last might us great old year off come since
against go came right used take three please thanks let need next week meeting`),
		onsets:    strings.Fields("b c d f g h l m n p r s t v w st tr pr cr pl br gr sp cl ch sh th qu"),
		nuclei:    strings.Fields("a e i o u ea ou ai ee io oo y"),
		codas:     strings.Fields("- - - n r s t l m ng nt ck st ll rd ment tion"),
		wrote:     "On DATE, NAME wrote:",
		greetings: []string{"Hi NAME,", "Dear NAME,", "Hello NAME,", "NAME,", "Hi all,"},
		closings:  []string{"Best regards,", "Thanks,", "Cheers,", "Kind regards,", "Best,"},
	}, {
		code: "de", charset: "iso-8859-1",
		function: strings.Fields(`der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an
werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber
vor zur bis mehr durch man sein wurde wenn hier alle wir ihr ich kann können uns ihre diese dieser schon unter
bitte danke gerne morgen heute nächste Woche Termin mir dir Ihnen möchte müssen würde wäre`),
		onsets: strings.Fields("b d f g h k l m n r s t w z sch st pr br kl gr tr fl kn pf schw"),
		nuclei: strings.Fields("a e i o u ei au eu ie ä ö ü"),
		codas:  strings.Fields("- - n r s t l ch ng ung keit en er el lich cht tz nd"),
		wrote:  "Am DATE schrieb NAME:",
		greetings: []string{"Hallo NAME,", "Guten Tag NAME,", "Liebe Kolleginnen und Kollegen,",
			"Sehr geehrte Damen und Herren,"},
		closings: []string{"Mit freundlichen Grüßen", "Viele Grüße", "Beste Grüße", "Liebe Grüße"},
	}, {
		code: "fr", charset: "iso-8859-1",
		function: strings.Fields(`de la le et les des en un une du que est pour qui dans par plus pas au sur ne se ce il sont
la ou avec aux d'un cette d'une ont ses mais comme on tout nous sa fait été aussi leur bien peut ces y deux à elle
vous être avoir même très sans sous entre après avant votre notre merci bonjour demain réunion voir déjà où là`),
		onsets:    strings.Fields("b c d f g j l m n p r s t v ch pr tr cl br gr pl qu"),
		nuclei:    strings.Fields("a e i o u é è ou ai eu oi an on in eau"),
		codas:     strings.Fields("- - - - r s t l ment tion que tre ble nce"),
		wrote:     "Le DATE, NAME a écrit :",
		greetings: []string{"Bonjour NAME,", "Bonjour à tous,", "Cher NAME,", "Madame, Monsieur,"},
		closings:  []string{"Cordialement,", "Bien à vous,", "Merci d'avance,", "À bientôt,"},
	}, {
		code: "es", charset: "iso-8859-1",
		function: strings.Fields(`de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o
este sí porque esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno les
ni contra otros ese eso ante ellos e esto mí antes algunos qué unos yo otro gracias hola mañana reunión está`),
		onsets:    strings.Fields("b c d f g h l m n p r s t v ch pr tr cl br gr ll"),
		nuclei:    strings.Fields("a e i o u ie ue ia á é í ó"),
		codas:     strings.Fields("- - - - n r s l ción dad mente do da"),
		wrote:     "El DATE, NAME escribió:",
		greetings: []string{"Hola NAME:", "Estimado NAME:", "Buenos días:"},
		closings:  []string{"Un saludo,", "Saludos cordiales,", "Gracias,"},
	}, {
		code: "ru", charset: "koi8-r",
		function: strings.Fields(`и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой что весь
год от так о для ты же все тот мочь вы человек такой его сказать только или ещё бы себя один как уже до время если
сам когда другой вот говорить наш мой знать стать при чтобы дело спасибо пожалуйста завтра`),
		onsets:    strings.Fields("б в г д ж з к л м н п р с т х ч ш пр ст тр кр"),
		nuclei:    strings.Fields("а е и о у ы я ю ё"),
		codas:     strings.Fields("- - - н р с т л й ть ние ость ка ный"),
		wrote:     "DATE, NAME пишет:",
		greetings: []string{"Здравствуйте, NAME!", "Добрый день!"},
		closings:  []string{"С уважением,", "Спасибо,"},
	}, {
		code: "ja", charset: "iso-2022-jp",
		function: strings.Fields("の に は を た が で て と し れ さ ある いる も する から な こと として い や れる など なっ " +
			"ない この ため その あっ よう また もの です ます お願い いたします 確認 よろしく"),
		onsets:    strings.Fields("会 議 資 料 明 日 連 絡 請 求 書 契 約 予 定 報 告 質 問 回 答 来 週 添 付 社 員 部 長 東 京 大 阪 電 話 番 号"),
		nuclei:    strings.Fields("議 料 日 絡 求 書 約 定 告 問 答 週 付 社 部 長 ス ト ン ー ル サ カ メ"),
		codas:     strings.Fields("- - - - - ー ン さん 様"),
		wrote:     "DATE NAME:",
		greetings: []string{"NAME様", "お世話になっております。"},
		closings:  []string{"よろしくお願いいたします。"},
	},
}

// languageWeights are the shares of people who write each language, in per cent.
var languageWeights = []int{45, 20, 13, 10, 7, 5}
