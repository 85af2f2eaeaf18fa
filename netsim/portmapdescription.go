package netsim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// description is that of the device and those inside it (UPnP Device Architecture 2.0 §2.3).
func (pm *portMapper) description() []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header + `<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>`)
	for i, name := range igdDevices {
		if i > 0 {
			b.WriteString("<deviceList>")
		}
		fmt.Fprintf(&b, "<device><deviceType>%s%s%d</deviceType><friendlyName>", upnpURN, name, pm.cfg.IGD)
		_ = xml.EscapeText(&b, []byte(pm.nat.name)) // a bytes.Buffer takes all
		fmt.Fprintf(&b, "</friendlyName><manufacturer>netsim</manufacturer><modelName>netsim</modelName><UDN>uuid:%s</UDN>", pm.uuid(i))
	}
	fmt.Fprintf(&b, "<serviceList><service><serviceType>%s%s%d</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>"+
		"<SCPDURL>%s</SCPDURL><controlURL>%s</controlURL><eventSubURL></eventSubURL></service></serviceList>",
		upnpURN, wanIPConnection, pm.cfg.IGD, igdServicePath, igdControlPath)
	b.WriteString("</device></deviceList></device></deviceList></device></root>")
	return b.Bytes()
}

// A stateVariable is what an argument of an action means.
type stateVariable struct{ argument, name, dataType string }

var stateVariables = [...]stateVariable{
	{"NewRemoteHost", "RemoteHost", "string"},
	{"NewExternalPort", "ExternalPort", "ui2"},
	{"NewProtocol", "PortMappingProtocol", "string"},
	{"NewInternalPort", "InternalPort", "ui2"},
	{"NewInternalClient", "InternalClient", "string"},
	{"NewEnabled", "PortMappingEnabled", "boolean"},
	{"NewPortMappingDescription", "PortMappingDescription", "string"},
	{"NewLeaseDuration", "PortMappingLeaseDuration", "ui4"},
	{"NewReservedPort", "A_ARG_TYPE_ReservedPort", "ui2"},
	{"NewPortMappingIndex", "PortMappingNumberOfEntries", "ui2"},
	{"NewExternalIPAddress", "ExternalIPAddress", "string"},
	{"NewConnectionStatus", "ConnectionStatus", "string"},
	{"NewLastConnectionError", "LastConnectionError", "string"},
	{"NewUptime", "Uptime", "ui4"},
	{"NewRSIPAvailable", "RSIPAvailable", "boolean"},
	{"NewNATEnabled", "NATEnabled", "boolean"},
}

// serviceDescription is that of WANIPConnection (§2.5).
func (pm *portMapper) serviceDescription() []byte {
	var b strings.Builder
	b.WriteString(xml.Header + `<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major><minor>0</minor></specVersion><actionList>`)
	for _, a := range igdActions {
		if a.version > pm.cfg.IGD {
			continue
		}
		fmt.Fprintf(&b, "<action><name>%s</name><argumentList>", a.name)
		for i, arg := range slices.Concat(a.in, a.out) {
			direction := "in"
			if i >= len(a.in) {
				direction = "out"
			}
			v := stateVariables[slices.IndexFunc(stateVariables[:], func(v stateVariable) bool { return v.argument == arg })]
			fmt.Fprintf(&b, "<argument><name>%s</name><direction>%s</direction><relatedStateVariable>%s</relatedStateVariable></argument>", arg, direction, v.name)
		}
		b.WriteString("</argumentList></action>")
	}
	b.WriteString("</actionList><serviceStateTable>")
	for _, v := range stateVariables {
		fmt.Fprintf(&b, `<stateVariable sendEvents="no"><name>%s</name><dataType>%s</dataType></stateVariable>`, v.name, v.dataType)
	}
	b.WriteString("</serviceStateTable></scpd>")
	return []byte(b.String())
}
