import CP11Kit
import Foundation
import Testing

@testable import CasemateVault

@Suite("The address of a key in an HSM")
struct PKCS11AddressTests {
    private static let rest = "?module-path=/lib/hsm.so&pin-source=/etc/pin"

    @Test("what is read from a good one")
    func good() throws {
        let address = try PKCS11Address(
            "pkcs11:token=case%20mate;object=k%c3%a9k?module-path=/usr/lib/a%20b.so&pin-source=/etc/casemate/pin")
        #expect(address.modulePath == "/usr/lib/a b.so")
        #expect(address.keyLabel == Array("kék".utf8))
        #expect(address.pinFile?.path == "/etc/casemate/pin")
        #expect(address.token == "pkcs11:token=case%20mate")
        #expect(address.place.hasPrefix("pkcs11:token=case%20mate;object=k") && !address.place.contains("pin"))
    }

    @Test(
        "other good ones",
        arguments: [
            "pkcs11:serial=70d78b25365dfecb;object=kek\(rest)",
            "pkcs11:object=kek;token=t;serial=1;manufacturer=m;model=n;type=secret-key\(rest)",
            "pkcs11:token=t;object=kek?pin-source=/etc/pin&module-path=/lib/hsm.so",
            "pkcs11:token=t;object=kek?module-path=/lib/hsm.so",
        ])
    func alsoGood(text: String) throws { _ = try PKCS11Address(text) }

    @Test(
        "a bad one is refused, and no value of it is quoted",
        arguments: [
            ("", "begin with pkcs11:"),
            ("/etc/kek", "begin with pkcs11:"),
            ("PKCS11:token=t;object=k\(rest)", "begin with pkcs11:"),
            ("pkcs11:", "token="),
            ("pkcs11:object=hunter2\(rest)", "token="),
            ("pkcs11:token=;object=hunter2\(rest)", "token="),
            ("pkcs11:token=%20%20;object=hunter2\(rest)", "token="),
            ("pkcs11:token=hunter2\(rest)", "object="),
            ("pkcs11:token=hunter2;object=\(rest)", "object="),
            ("pkcs11:token=hunter2;object=k", "module-path="),
            ("pkcs11:token=hunter2;object=k?module-path=hsm.so", "module-path="),
            ("pkcs11:token=hunter2;object=k?module-path=", "module-path="),
            ("pkcs11:token=t;object=k?module-name=softhsm", "module-name is refused"),
            ("pkcs11:token=t;object=k\(rest)&pin-value=hunter2", "pin-value is refused"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-value=hunter2", "pin-value is refused"),
            ("pkcs11:token=t;object=k;pin-value=hunter2\(rest)", "pin-value is refused"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-source=hunter2", "pin-source"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-source=|/bin/hunter2", "pin-source"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-source=https://hunter2/", "pin-source"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-source=file:hunter2", "pin-source"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-source=file://hunter2/pin", "pin-source"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-source=", "pin-source"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&pin-sorce=/hunter2", "pin-sorce is not among"),
            ("pkcs11:token=t;object=k?module-path=/lib/hsm.so&hunter2", "isn't name=value"),
            ("pkcs11:token=t;object=k;hunter2\(rest)", "isn't name=value"),
            ("pkcs11:token=t;token=hunter2;object=k\(rest)", "token is given twice"),
            ("pkcs11:token=t;object=k?module-path=/a.so&module-path=/hunter2", "module-path is given twice"),
            ("pkcs11:token=t;object=k;id=%01\(rest)", "id is refused"),
            ("pkcs11:token=t;object=k;slot-id=1\(rest)", "slot-id is refused"),
            ("pkcs11:token=t;object=k;library-version=2\(rest)", "library-version is not among"),
            ("pkcs11:token=t;object=k;type=private\(rest)", "type can only be secret-key"),
            ("pkcs11:token=hunter 2;object=k\(rest)", "percent-encoded"),
            ("pkcs11:token=hünter2;object=k\(rest)", "percent-encoded"),
            ("pkcs11:token=t;object=k\(rest)\n", "percent-encoded"),
            ("pkcs11:token=hunter2%00;object=k\(rest)", "NUL"),
            ("pkcs11:token=hunter2%zz;object=k\(rest)", "RFC 7512"),
            ("pkcs11:token=hunter2-which-is-far-longer-than-32-bytes;object=k\(rest)", "RFC 7512"),
        ])
    func bad(text: String, fault: String) throws {
        let error = #expect(throws: PKCS11AddressError.self) { try PKCS11Address(text) }
        let message = error?.description ?? ""
        #expect(message.contains(fault), "\(message)")
        #expect(!message.contains("hunter") && !message.contains("hünter"))
    }

    @Test("all faults are told at once")
    func all() throws {
        let error = #expect(throws: PKCS11AddressError.self) { try PKCS11Address("pkcs11:type=secret-key?pin-source=pin") }
        #expect(error?.faults.count == 4)
    }

    @Test("a token is the address's when all that is said of it is so")
    func matches() throws {
        var info = ck_token_info()
        fill(&info.label, "casemate")
        fill(&info.serial_number, "70d78b25365dfecb")
        fill(&info.model, "SoftHSM v2")
        fill(&info.manufacturer_id, "SoftHSM project")
        for (attributes, isMatch) in [
            ("token=casemate", true), ("serial=70d78b25365dfecb", true), ("token=casemate;serial=70d78b25365dfecb", true),
            ("token=casemate;model=SoftHSM%20v2", true), ("token=casemat", false), ("token=casemates", false), ("token=Casemate", false),
            ("token=casemate;serial=0", false), ("token=casemate;model=other", false), ("token=casemate;manufacturer=other", false),
        ] {
            #expect(try PKCS11Address("pkcs11:\(attributes);object=k\(Self.rest)").matches(info) == isMatch, "\(attributes)")
        }
    }

    private func fill<T>(_ field: inout T, _ text: String) {
        withUnsafeMutableBytes(of: &field) { bytes in
            bytes.copyBytes(from: Array(text.utf8) + Array(repeating: 0x20, count: bytes.count - text.utf8.count))
        }
    }
}
