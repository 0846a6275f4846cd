package bench

import "strings"

// Class is a sort of bytes of a message.
type Class string

// The classes, in the order of reports.
const (
	Headers  Class = "headers" // with boundary lines and all else between bodies
	Text     Class = "text"
	HTML     Class = "html"
	Images   Class = "images"
	Office   Class = "office"
	PDF      Class = "pdf"
	Archives Class = "archives"
	Other    Class = "other"
)

// Classes has all classes, in the order of reports.
var Classes = []Class{Headers, Text, HTML, Images, Office, PDF, Archives, Other}

// ClassOf returns the class of the body of a part by its media type. An empty media type stands for
// the bytes between bodies.
func ClassOf(mediaType string) Class {
	major, minor, _ := strings.Cut(mediaType, "/")
	switch {
	case mediaType == "":
		return Headers
	case mediaType == "text/html":
		return HTML
	case major == "text" || major == "message" || minor == "ics":
		return Text
	case major == "image":
		return Images
	case minor == "pdf":
		return PDF
	case strings.HasPrefix(minor, "vnd.openxmlformats") || strings.HasPrefix(minor, "vnd.oasis.opendocument") ||
		strings.HasPrefix(minor, "vnd.ms-") || minor == "msword":
		return Office
	case minor == "zip" || minor == "gzip" || minor == "x-zip-compressed" || minor == "x-gzip" || minor == "x-tar" ||
		minor == "x-7z-compressed" || minor == "x-rar-compressed" || minor == "vnd.rar" ||
		minor == "x-bzip2" || minor == "zstd":
		return Archives
	}
	return Other
}
