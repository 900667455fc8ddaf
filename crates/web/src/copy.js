// Buttons that copy a value. Without scripts they stay hidden.
document.querySelectorAll("[data-copy]").forEach(function (button) {
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", function () {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim()).then(function () {
      button.firstChild.textContent = "Copied";
      document.getElementById("copied").textContent = "Copied";
    });
  });
});
