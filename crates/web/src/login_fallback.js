// Signs in through the client API and hands the answer to the app that opened this page.
(function () {
  var form = document.getElementById("form");
  function fail(text) {
    document.getElementById("error-text").textContent = text;
    document.getElementById("error").hidden = false;
  }
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    document.getElementById("error").hidden = true;
    var login = {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: form.username.value.trim() },
      password: form.password.value
    };
    if (form.dataset.deviceId) login.device_id = form.dataset.deviceId;
    if (form.dataset.deviceName) login.initial_device_display_name = form.dataset.deviceName;
    fetch("/_matrix/client/v3/login", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(login)
    }).then(function (response) {
      return response.json().then(function (answer) {
        if (!response.ok) return fail(response.status === 403 ? "The name or the password is not right." : answer.error || "That did not work.");
        if (window.matrixLogin && window.matrixLogin.onLogin) window.matrixLogin.onLogin(answer);
        else fail("You are signed in, but no app has opened this page to take over.");
      });
    }).catch(function () { fail("The server does not answer. Please try again."); });
  });
})();
