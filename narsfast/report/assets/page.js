"use strict";
(function () {
  // Series colors: Okabe and Ito, "Color Universal Design"; the darker variants keep contrast on white.
  const themes = {
    light: {
      text: "#1c2430", soft: "#5b6675", grid: "#e3e7ec", paper: "#ffffff", gray: "#7f8894", accent: "#b34700",
      c1: "#0072b2", c2: "#009e73", c3: "#cc79a7", c4: "#e69f00", c5: "#56b4e9", c6: "#8a6d00", c7: "#000000",
    },
    dark: {
      text: "#e6e9ee", soft: "#9aa5b4", grid: "#2c3440", paper: "#171c24", gray: "#8b95a3", accent: "#ff9d57",
      c1: "#56b4e9", c2: "#2bc79a", c3: "#e39bc2", c4: "#e6c300", c5: "#3d8fd1", c6: "#f0e442", c7: "#ffffff",
    },
  };
  const figures = document.getElementById("report-figures").textContent;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 600px)");

  function axis(given, theme) {
    const title = Object.assign({ standoff: 10 }, given.title);
    return Object.assign(
      { gridcolor: theme.grid, linecolor: theme.grid, zerolinecolor: theme.grid, ticks: "", automargin: true },
      given,
      { title }
    );
  }

  function draw() {
    const theme = dark.matches ? themes.dark : themes.light;
    const colored = JSON.parse(figures.replace(/"@(\w+)"/g, (whole, name) => (name in theme ? JSON.stringify(theme[name]) : whole)));
    for (const [id, figure] of Object.entries(colored)) {
      const place = document.getElementById("figure-" + id);
      const layout = Object.assign(
        {
          paper_bgcolor: "rgba(0,0,0,0)",
          plot_bgcolor: "rgba(0,0,0,0)",
          font: { color: theme.text, size: narrow.matches ? 12 : 13, family: getComputedStyle(document.body).fontFamily },
          hoverlabel: { bgcolor: theme.paper, bordercolor: theme.grid, font: { color: theme.text } },
          colorway: [theme.c1, theme.c2, theme.c3, theme.c4],
          showlegend: true,
          height: narrow.matches ? 340 : 420,
          margin: { l: 56, r: 12, t: narrow.matches ? 44 : 68, b: 48 },
          modebar: { bgcolor: "rgba(0,0,0,0)", color: theme.gray, activecolor: theme.text },
          legend: { orientation: "h", yanchor: "bottom", y: 1.04, xanchor: "left", x: 0 },
        },
        figure.layout
      );
      layout.xaxis = axis(layout.xaxis, theme);
      layout.yaxis = axis(layout.yaxis, theme);
      Plotly.react(place, figure.data, layout, {
        responsive: true,
        displaylogo: false,
        displayModeBar: narrow.matches ? false : "hover",
        modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
        toImageButtonOptions: { format: "svg", filename: "narsfast-" + id },
      });
    }
    document.documentElement.dataset.drawn = String(Object.keys(colored).length);
  }

  draw();
  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);
})();
