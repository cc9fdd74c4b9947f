#!/usr/bin/env bash
# Installs what the system tests talk to, from Debian's packages: a browser, a PACS, and DICOM's tools.
set -euo pipefail
packages=(chromium fonts-dejavu-core orthanc orthanc-dicomweb orthanc-gdcm dcmtk dicom3tools iproute2 openssl util-linux)
missing=()
for package in "${packages[@]}"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "${missing[@]}" >/dev/null
