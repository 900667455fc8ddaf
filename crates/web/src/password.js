// Shows a password's strength and lets people look at what they type. The server judges by the same rules
// (password.rs); without this script it is the only one.
(function () {
  var words = ["COMMON_WORDS"];
  var levels = ["", "Too easy to guess", "Could be better", "Good", "Very good"];
  function bits(password, name) {
    var text = password.toLowerCase();
    var known = name.length >= 3 ? [name.toLowerCase()].concat(words) : words;
    known.forEach(function (word) { text = text.split(word).join("\u0001"); });
    var pool = 0;
    if (/[a-z]/.test(password)) pool += 26;
    if (/[A-Z]/.test(password)) pool += 26;
    if (/[0-9]/.test(password)) pool += 10;
    if (/[ -\/:-@\[-`{-~]/.test(password)) pool += 33;
    if (/[^\0-\x7f]/.test(password)) pool += 100;
    var letters = 0, before = -9, stepBefore = 9;
    Array.from(text).forEach(function (letter) {
      var code = letter.codePointAt(0);
      var step = code - before;
      letters += Math.abs(step) <= 1 && step === stepBefore ? 0.25 : 1;
      before = code;
      stepBefore = step;
    });
    return letters * Math.log2(Math.max(pool, 2));
  }
  function level(password, name) {
    if (!password) return 0;
    var strength = bits(password, name);
    if (Array.from(password).length < 8 || strength < 36) return 1;
    return strength < 50 ? 2 : strength < 65 ? 3 : 4;
  }
  var password = document.getElementById("password");
  var name = document.getElementById("username");
  var repeat = document.getElementById("repeat");
  var reveal = document.getElementById("reveal");
  function show() {
    var now = level(password.value, name ? name.value.replace(/^@/, "").split(":")[0] : "");
    document.getElementById("strength").hidden = now === 0;
    document.getElementById("bar").dataset.level = now;
    document.getElementById("strength-text").textContent = levels[now];
  }
  password.addEventListener("input", show);
  if (name) name.addEventListener("input", show);
  reveal.hidden = false;
  reveal.addEventListener("click", function () {
    var shown = password.type === "text";
    password.type = repeat.type = shown ? "password" : "text";
    reveal.setAttribute("aria-pressed", String(!shown));
    reveal.textContent = shown ? "Show" : "Hide";
  });
  document.getElementById("form").addEventListener("submit", function () {
    password.type = repeat.type = "password";
  });
  show();
})();
