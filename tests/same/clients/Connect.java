// Connects as Java programs do, with a time-out in milliseconds: HOST PORT MILLISECONDS.
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;

class Connect {
    public static void main(String[] arguments) {
        var milliseconds = Integer.parseInt(arguments[2]);
        try (var socket = new Socket()) {
            socket.connect(new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1])), milliseconds);
            System.out.println("said: connected");
        } catch (IOException error) {
            System.out.println("said: " + error.getClass().getSimpleName() + ": " + error.getMessage());
            System.exit(1);
        }
    }
}
