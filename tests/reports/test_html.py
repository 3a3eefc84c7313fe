from html.parser import HTMLParser

from mlp_jax.reports.html import Markup, details, joined, png_image, table, tag


def test_text_and_attributes_are_escaped_and_markup_is_not():
    assert tag("p", "a < b & 'c'") == "<p>a &lt; b &amp; &#x27;c&#x27;</p>"
    assert tag("p", tag("b", "x")) == "<p><b>x</b></p>"
    assert tag("i", title='"><script>') == '<i title="&quot;&gt;&lt;script&gt;"></i>'
    assert joined(["<", Markup("<br>")], "&") == "&lt;&amp;<br>"


def test_attributes_have_their_html_names():
    made = tag("details", class_="x", aria_label="y", open=True, hidden=False, id=None)
    assert made == '<details class="x" aria-label="y" open></details>'
    assert tag("img", src="data:,") == '<img src="data:,">'


def test_words_of_a_table_stand_left_and_figures_right():
    made = table(["a", "b", "c"], [["x", "y", 1]], words=2)
    assert '<th scope="row">x</th><td>y</td><td class="figure">1</td>' in made
    assert '<th scope="col" class="figure">c</th>' in made


def test_details_are_closed_unless_told():
    assert details("s", "c") == "<details><summary>s</summary>c</details>"
    assert details("s", open_=True).startswith("<details open>")


def test_a_picture_is_inside_the_page():
    seen = {}

    class Reader(HTMLParser):
        def handle_starttag(self, name, attributes):
            seen.update(attributes)

    Reader().feed(png_image(b"\x89PNG", "a 'quoted' <alt>"))
    assert seen == {"src": "data:image/png;base64,iVBORw==", "alt": "a 'quoted' <alt>"}
