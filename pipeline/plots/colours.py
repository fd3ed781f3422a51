"""Colours of figures, and the CSS variables that replace them on HTML pages, which have a light and a dark theme."""

BLUE, GREY, RED = "#1f5fa8", "#87909a", "#d1495b"
CHANNEL_COLOURS = (BLUE, "#c77d1e", "#2e8b57", "#8155ba", "#2a9bb5", "#a65e2e")  # of the channels of a series
INK, MUTED, FAINT, GRID = "#000000", "#444444", "#666666", "#e9e9e9"

ON_PAGE = {
    BLUE: "var(--complete)",
    GREY: "var(--pruned)",
    RED: "var(--best)",
    INK: "currentColor",
    MUTED: "var(--muted)",
    FAINT: "var(--muted)",
    GRID: "var(--grid)",
}
