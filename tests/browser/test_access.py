"""Getting in, language, theme and keyboard, as a person does."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, NewPage, Server


def test_the_first_start_s_link_then_a_password(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    expect(page.get_by_text("derush serve")).to_be_visible()
    page.goto(server.link)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_text("The password is set")).to_be_visible()

    other = new_page()
    other.goto(server.link)
    expect(other.get_by_text("used already")).to_be_visible()
    other.get_by_label("Password").fill("wrong wrong wrong")
    other.get_by_role("button", name="Sign in").click()
    expect(other.get_by_text("That is not the password.")).to_be_visible()
    other.get_by_label("Password").fill(PASSWORD)
    other.keyboard.press("Enter")
    expect(other.get_by_text("Nothing runs.")).to_be_visible()

    other.get_by_label("Language, theme, signing out").click()
    other.get_by_role("button", name="Sign out").click()
    other.goto("/")
    expect(other.get_by_role("heading", name="Sign in to Derush")).to_be_visible()


def test_language_follows_the_browser_and_can_be_switched(server: Server, new_page: NewPage) -> None:
    page = new_page(locale="fr-FR")
    page.goto("/login")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("heading", name="Se connecter à Derush")).to_be_visible()
    page.locator("summary").click()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Sign in to Derush")).to_be_visible()
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_theme_follows_the_system_and_can_be_switched(server: Server, new_page: NewPage) -> None:
    light, dark = new_page(color_scheme="light"), new_page(color_scheme="dark")
    light.goto("/login")
    dark.goto("/login")
    of_light, of_dark = background(light), background(dark)
    assert of_light != of_dark
    light.locator("summary").click()
    light.get_by_role("button", name="Dark").click()
    expect(light.locator("html")).to_have_attribute("data-theme", "dark")
    assert background(light) == of_dark


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.reload()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Français")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Français")).to_be_hidden()
    expect(page.locator(":focus")).to_have_js_property("tagName", "SUMMARY")
