/// The release, as `--version` prints it.
public enum CasemateVersion {
    public static let text = "0.1.0"
}
