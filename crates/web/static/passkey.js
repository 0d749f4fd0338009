// Passkeys: asks the device for a new key, or for a signature by one, and sends what it says by the
// page's form. Without this script, or where the browser knows no passkeys, the form does not show.
"use strict";
(() => {
  const form = document.querySelector("form.passkey");
  if (!form || !("PublicKeyCredential" in window)) return;
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const unhex = (text) => Uint8Array.from(text.match(/../g), (byte) => parseInt(byte, 16));
  const { challenge, party, user, login, name, known } = form.dataset;
  const asked = { challenge: bytes(challenge), userVerification: "required" };
  const create = () => navigator.credentials.create({ publicKey: {
    ...asked,
    rp: { id: party, name: "Tandem" },
    user: { id: new TextEncoder().encode(user), name: login, displayName: name },
    pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
    excludeCredentials: known.match(/\w+/g)?.map((id) => ({ type: "public-key", id: unhex(id) })) ?? [],
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
  } });
  const get = () => navigator.credentials.get({ publicKey: { ...asked, rpId: party } });
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const failed = form.querySelector("[role=alert]");
    failed.hidden = true;
    try {
      const { rawId, response } = await (user ? create() : get());
      const fields = form.elements;
      fields.credential.value = text(rawId);
      if (response.userHandle) fields.user.value = text(response.userHandle);
      fields.client_data.value = text(response.clientDataJSON);
      fields.authenticator.value = text(response.authenticatorData ?? response.getAuthenticatorData());
      fields.signature.value = text(response.signature ?? new ArrayBuffer(0));
      form.submit();
    } catch {
      failed.hidden = false;
    }
  });
})();
