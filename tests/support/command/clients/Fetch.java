// Fetches a URL by Java: "url" by HttpURLConnection, "client" by java.net.http.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Fetch {
    public static void main(String[] words) throws Exception {
        URI uri = URI.create(words[1]);
        if (words[0].equals("url")) {
            uri.toURL().openStream().readAllBytes();
        } else {
            HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
            client.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.discarding());
        }
    }
}
