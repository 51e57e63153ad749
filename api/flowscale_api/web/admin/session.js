/**
 * Who we are to the server, and every call in that name. A call that is answered 401 leads to the login page; one that
 * is refused for its token is sent once more with a new one, since another tab may have begun a new session.
 */

import { ApiError, call } from "../http.js";
import { loginAddress } from "./address.js";

const API = "../api/";

let token = "";

/** @typedef {{name: string, scopes: string[], readOnly: boolean, csrfToken: string}} Session */

/** @returns {Promise<Session>} */
export async function openSession() {
  const session = await asked("admin/session");
  token = session.csrfToken ?? "";
  return session;
}

/** @param {string} path below /api/ */
export const get = (path) => asked(path);

/**
 * @param {"POST"|"DELETE"} method
 * @param {string} path below /api/
 * @param {object} [body]
 */
export async function send(method, path, body) {
  try {
    return await sent(method, path, body);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "CSRF_REFUSED") throw error;
    await openSession();
    return sent(method, path, body);
  }
}

/** End the session, here and on the server. */
export async function logOut() {
  await send("DELETE", "admin/session");
  location.assign("login");
}

export function goToLogin() {
  location.assign(loginAddress());
}

/**
 * @param {"POST"|"DELETE"} method
 * @param {string} path
 * @param {object} [body]
 */
function sent(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = { "X-CSRF-Token": token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return asked(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/**
 * @param {string} path
 * @param {RequestInit} [request]
 */
async function asked(path, request) {
  try {
    return await call(API + path, request);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) goToLogin();
    throw error;
  }
}
